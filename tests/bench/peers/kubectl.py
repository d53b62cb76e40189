"""`kubectl get pods --all-namespaces -o json`, as a script reads a cluster: what it used, as JSON, since it is over by then."""

import json
import resource
import subprocess
import sys

subprocess.run(["kubectl", "get", "pods", "--all-namespaces", "--output", "json"], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
# Kibibytes on Linux.
peak = used.ru_maxrss / 1024
print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "peak": peak, "rss": peak}), flush=True)
sys.stdin.read()
