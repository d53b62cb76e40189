"""A small client of a test cluster's API server, for the scripts beside it."""

import argparse
import http.client
import json
import os
import re
import ssl
import time

DEFAULT_DIR = os.environ.get("CLUSTER_DIR") or os.path.join(
    os.environ.get("TMPDIR") or "/tmp", "kubernetes-agent-cluster"
)
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


def arguments(description):
    """A parser with the option that all scripts have."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dir", default=DEFAULT_DIR, help="the cluster's folder (%(default)s)")
    return parser


class Refused(Exception):
    """The server answered with an error."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


class Api:
    """One kept-alive connection, as admin."""

    def __init__(self, directory):
        try:
            with open(os.path.join(directory, "env")) as file:
                env = dict(re.findall(r"^export (\w+)='?([^'\n]*)'?$", file.read(), re.MULTILINE))
        except FileNotFoundError:
            raise SystemExit(f"error: no cluster in {directory}") from None
        self.token = env["TOKEN"]
        self.connection = http.client.HTTPSConnection(
            "localhost",
            int(env["APISERVER_PORT"]),
            context=ssl.create_default_context(cafile=env["CA_FILE"]),
            timeout=60,
        )

    def request(self, method, path, body=None, kind="application/json", agent="load"):
        """Sends one request; the agent's name is what managedFields call the manager."""
        headers = {
            "Authorization": f"Bearer {self.token}",
            "User-Agent": f"{agent}/v1.20.2",
            "Accept": "application/json",
        }
        if body is not None:
            body = json.dumps(body, separators=(",", ":")).encode()
            headers["Content-Type"] = kind
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        text = response.read()
        if response.status >= 300:
            raise Refused(response.status, f"{method} {path}: {text[:500].decode(errors='replace')}")
        return json.loads(text)

    def create(self, path, body, agent="load"):
        return self.request("POST", path, body, agent=agent)

    def patch(self, path, body, kind=MERGE, agent="load"):
        return self.request("PATCH", path, body, kind, agent)

    def items(self, path, limit=500):
        """Every item of a list, fetched in pages."""
        page = ""
        while True:
            answer = self.request("GET", f"{path}?limit={limit}&continue={page}")
            yield from answer["items"]
            page = answer["metadata"].get("continue")
            if not page:
                return


# One connection for each process of a pool.
_api = None


def connect(directory):
    """The initializer of a process pool."""
    global _api
    _api = Api(directory)


def api():
    """The connection of this process."""
    return _api


class Progress:
    """Prints how far a pool is, every few seconds."""

    def __init__(self, what, total):
        self.what, self.total, self.done = what, total, 0
        self.began = self.printed = time.monotonic()

    def add(self, count):
        self.done += count
        now = time.monotonic()
        if now - self.printed >= 5 or self.done == self.total:
            self.printed = now
            print(f"[{now - self.began:4.0f}s] {self.what}: {self.done} of {self.total}", flush=True)


def now(ago=0):
    """The time as the API server writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - ago))
