"""The programs that are measured: how each is built and run, and what is read of it while it runs."""

import functools
import json
import os
import pathlib
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "kubernetes-agent"
CLUSTER = HERE.parent / "cluster"
MIB = 1 << 20
PATIENCE = 300


class Failed(Exception):
    """Something that ends the benchmark."""


def processor(pid):
    """Processor seconds of a process so far, all threads: by its own clock, since a later collection of the agent's takes
    less than ten of the ticks that /proc counts in."""
    scheduler = 2
    return time.clock_gettime(~pid << 3 | scheduler)


def memory(pid, name):
    """A line of the process' status, in MiB."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+)", text, re.M)[1]) / 1024


def server(cluster):
    """Processor seconds of the API server so far."""
    return processor(int((cluster / "run/kube-apiserver.pid").read_text()))


def received(cluster):
    """Bytes that came from the API server so far: all that came over the loopback device, each byte once, but for two
    that the API server read itself. What etcd sent, which it reads anew for each list that is not of its cache; and
    what metrics-server sent, which it hands on. Both count that themselves."""
    line = next(it for it in pathlib.Path("/proc/net/dev").read_text().splitlines() if it.strip().startswith("lo:"))
    environment = (cluster / "env").read_text()
    # Nothing but numbers is asked for: a certificate that nobody knows will do.
    unverified = ssl.create_default_context()
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE

    def sent(scheme, port, name):
        port = re.search(rf"^export {port}='?(\d+)", environment, re.M)[1]
        with urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}/metrics", context=unverified) as answer:
            return float(re.search(rf"^{name} (\S+)", answer.read().decode(), re.M)[1])

    read = sent("http", "ETCD_PORT", "etcd_network_client_grpc_sent_bytes_total")
    if (cluster / "run/metrics-server.cmd").exists():
        read += sent("https", "METRICS_SERVER_PORT", "metrics_server_sent_bytes_total")
    return int(line.split(":")[1].split()[0]) - read


def wait(what, holds, process):
    """Looks until it holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if process.poll() is not None:
            raise Failed(f"{what}: it ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {PATIENCE} s")
        time.sleep(0.02)


@functools.cache
def go_program(folder):
    """The path of a Go program of ours, built once; None where Go or the source is not at hand, which the script has
    said then."""
    built = subprocess.run([CLUSTER / "build-program", folder], stdout=subprocess.PIPE, text=True)
    if built.returncode == 77:
        return None
    built.check_returncode()
    return built.stdout.strip()


class Agent:
    """The agent, with a backend that takes everything."""

    name = "kubernetes-agent"
    INTERVAL = 25

    def __init__(self, folder, binary):
        self.folder, self.binary = folder, binary

    @classmethod
    def build(cls, folder):
        """The static release binary, as it is shipped."""
        out = subprocess.run([ROOT / "tests/size"], check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT).stdout
        return cls(folder, ROOT / re.search(r"^(.*): \d+ bytes", out, re.M)[1])

    def environment(self, backend, kubeconfig, state, interval):
        """Its settings."""
        return {
            "BACKEND_URL": f"http://{backend}", "BACKEND_WS_URL": f"ws://{backend}/ws", "API_KEY": "benchmark" * 4,
            "SECRET_KEY": "benchmark" * 4, "CLUSTER_ID": "benchmark", "KUBECONFIG": str(kubeconfig),
            "STATE_DIR": str(state), "HTTP_PORT": "0", "COLLECTION_INTERVAL": str(interval),
        }

    def measure(self, cluster, churn):
        """Its first collection, and one more after 1 % of the pods changed."""
        state = self.folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        state.mkdir()
        sink = subprocess.Popen([sys.executable, HERE / "sink.py"], stdout=subprocess.PIPE, text=True)
        backend = f"127.0.0.1:{sink.stdout.readline().strip()}"
        environment = self.environment(backend, cluster / "admin.kubeconfig", state, self.INTERVAL)
        log = self.folder / "agent.log"
        with log.open("w") as out:
            busy, began = server(cluster), time.monotonic()
            agent = subprocess.Popen([self.binary], env=environment, stdout=out, stderr=out)
        try:
            def collections():
                return log.read_text().count("Successfully sent")

            wait("the first collection", lambda: collections() >= 1, agent)
            first = self.look(agent, cluster, busy, began)
            busy, began = server(cluster), time.monotonic()
            churn()
            wait("the second collection", lambda: collections() >= 2, agent)
            second = self.look(agent, cluster, busy, began)
            for key in ("cpu", "read"):
                second[key] -= first[key]
            # It waits for its time most of it, and the server served the churn too.
            del second["wall"], second["server"]
            return [("first collection", first), ("steady cycle", second)]
        finally:
            for process in (agent, sink):
                process.terminate()
                process.wait(20)

    def look(self, agent, cluster, busy, began):
        """What it used so far."""
        port = re.search(r"Listening on port (\d+)", (self.folder / "agent.log").read_text())[1]
        figures = {"cpu": processor(agent.pid), "peak": memory(agent.pid, "VmHWM"), "rss": memory(agent.pid, "VmRSS"),
                   "server": server(cluster) - busy, "wall": time.monotonic() - began}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            text = answer.read().decode()
        read = re.search(r"^kubernetes_agent_api_received_bytes_total (\S+)", text, re.M)
        return figures | {"read": float(read[1]) / MIB}


class Peer:
    """A program that says in a line that it has read everything, and then waits."""

    def __init__(self, name, command):
        self.name, self.command = name, command

    def measure(self, cluster, _churn):
        """One read of everything."""
        environment = os.environ | {"CLUSTER_DIR": str(cluster), "KUBECONFIG": str(cluster / "admin.kubeconfig")}
        busy, came, began = server(cluster), received(cluster), time.monotonic()
        process = subprocess.Popen(self.command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = process.stdout.readline().strip()
        if not line:
            raise Failed(f"{self.name}: it said nothing")
        figures = {"wall": time.monotonic() - began, "cpu": processor(process.pid), "peak": memory(process.pid, "VmHWM"),
                   "rss": memory(process.pid, "VmRSS"), "server": server(cluster) - busy,
                   "read": (received(cluster) - came) / MIB}
        # One that runs another program speaks for that.
        if line.startswith(b"{"):
            figures |= json.loads(line)
        process.stdin.close()
        process.wait(20)
        return [("one read", figures)]


class KubeRs:
    """kube-rs, as tests/bench/peers/kube-rs uses it."""

    def __init__(self, mode):
        self.mode = mode

    def build(self, _folder):
        """Once, outside the tree."""
        target = CACHE / "bench/kube-rs"
        manifest = HERE / "peers/kube-rs/Cargo.toml"
        command = ["cargo", "build", "--release", "--locked", "--manifest-path", manifest, "--target-dir", target]
        subprocess.run(command, check=True)
        return Peer(f"kube-rs, {self.mode}", [target / "release/peer-kube-rs", self.mode])


class ClientGo:
    """client-go, as tests/bench/peers/client-go uses it."""

    def __init__(self, mode, content):
        self.mode, self.content = mode, content

    def build(self, _folder):
        """Once; None where it cannot be built."""
        binary = go_program(HERE / "peers/client-go")
        return binary and Peer(f"client-go, {self.mode}, {self.content}", [binary, self.mode, self.content])


class PythonClient:
    """The official Python client, in pages."""

    def build(self, _folder):
        """In a virtual environment, once."""
        folder = CACHE / "bench/python"
        if not (folder / "bin/python").exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            subprocess.run([folder / "bin/pip", "install", "--quiet", "kubernetes==34.1.0"], check=True)
        return Peer("Python client, pages", [folder / "bin/python", HERE / "peers/python-client.py"])


class Script:
    """A peer that needs no building."""

    def __init__(self, name, command):
        self.name, self.command = name, command

    def build(self, _folder):
        """Nothing to do."""
        return Peer(self.name, self.command)


PEERS = {
    "kube-rs": KubeRs("list"),
    "kube-rs-reflector": KubeRs("reflect"),
    "client-go": ClientGo("list", "json"),
    "client-go-protobuf": ClientGo("list", "protobuf"),
    "client-go-informer": ClientGo("inform", "protobuf"),
    "python": PythonClient(),
    "kubectl": Script("kubectl get pods -A -o json", [sys.executable, HERE / "peers/kubectl.py"]),
    "download": Script("bare download", [sys.executable, HERE / "peers/download.py"]),
}
