"""The official Python client: all nodes and pods in pages of 500, each page typed and then dropped."""

import sys

from kubernetes import client, config

config.load_kube_config()
core = client.CoreV1Api()


def count(read):
    """How many there are, page by page."""
    number, token = 0, None
    while True:
        page = read(limit=500, _continue=token)
        number += len(page.items)
        token = page.metadata._continue
        if not token:
            return number


print(f"{count(core.list_node)} nodes, {count(core.list_pod_for_all_namespaces)} pods", flush=True)
sys.stdin.read()
