"""No polling: a small HTTP server receives the webhook (`hookUrl`) that brings the result.

Run: python python_webhook.py. The real API cannot reach 127.0.0.1: there, hookUrl must be a public address.
"""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.request import Request, urlopen

BASE_URL = os.environ.get("FLUXMOCK_BASE_URL", "http://127.0.0.1:8787")
KEY = os.environ.get("TT_API_KEY", "any-key")
OUT = Path(os.environ.get("OUT", "./result.webp"))
PATIENCE = 600  # seconds

results = {}  # by job id; a hook may come twice


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        result = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        results[result["jobId"]] = result
        self.send_response(204)
        self.end_headers()

    def log_message(self, *args):
        """Keep quiet."""


def submit(order):
    headers = {"TT-API-KEY": KEY, "Content-Type": "application/json"}
    with urlopen(Request(f"{BASE_URL}/flux/generate", json.dumps(order).encode(), headers), timeout=30) as answer:
        data = json.load(answer)["data"]
    return data.get("jobId") or data["job_id"]  # the newer contract writes job_id


with HTTPServer(("127.0.0.1", 0), Receiver) as receiver:  # from here on, hooks that come are kept waiting
    receiver.timeout = PATIENCE
    receiver.handle_timeout = lambda: sys.exit(f"no hook came within {PATIENCE} s")
    hook_url = f"http://127.0.0.1:{receiver.server_port}/hook"
    job_id = submit({"prompt": "a cute cat", "mode": "flux1-dev", "aspect_ratio": "9:16", "hookUrl": hook_url})
    print("job", job_id)

    while job_id not in results:
        receiver.handle_request()

result = results[job_id]
print(result["status"])
if result["status"] == "FAILED":
    sys.exit(f"the job failed: {result['message']}")

with urlopen(result["data"]["imageUrl"], timeout=30) as image:
    OUT.write_bytes(image.read())
print(OUT)
