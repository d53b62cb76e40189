"""A backend that takes everything, counts the samples and keeps nothing, in a process of its own: `python3 sink.py` prints its port."""

import gzip
import http.server
import json
import sys
import threading

COUNTS = {"pod": 0, "node": 0, "event": 0}
LOCK = threading.Lock()


class Sink(http.server.BaseHTTPRequestHandler):
    """Answers as the contract says, at once."""

    protocol_version = "HTTP/1.1"

    def answer(self, code, body=None):
        """Reads what was sent and answers."""
        received = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/metrics"):
            samples = gzip.decompress(received)
            with LOCK:
                for kind in COUNTS:
                    COUNTS[kind] += samples.count(b'{"kind":"%s",' % kind.encode())
        text = json.dumps(body).encode() if body is not None else b""
        self.send_response(code)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        """Metrics, heartbeats and the registration."""
        now = "2026-01-01T00:00:00.000Z"
        if self.path.endswith("/metrics"):
            self.answer(202)
        elif self.path.endswith("/register"):
            self.answer(200, {"protocol": "1", "server_time": now})
        else:
            self.answer(200, {"server_time": now, "pending_actions": 0})

    def do_GET(self):
        """No actions; the counts."""
        if self.path == "/counts":
            self.answer(200, COUNTS)
        else:
            self.answer(204)

    def do_DELETE(self):
        """Deregisters."""
        self.answer(204)

    def log_message(self, *_):
        """Says nothing."""


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Sink)
print(server.server_address[1], flush=True)
sys.stdout.close()
server.serve_forever()
