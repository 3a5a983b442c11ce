"""A client with a receiver of its own: `receives.py [FLAW]`, told by its environment; without a flaw it is a good one.

Its webhooks are to go to FLUXMOCK_HOOK_URL, where it then listens, or else to a port of its own.
"""

import json
import os
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FLAW = sys.argv[1] if len(sys.argv) > 1 else ""
BASE_URL = os.environ["FLUXMOCK_BASE_URL"]
PAUSE = 1.0 / float(os.environ["FLUXMOCK_SPEED"])
TOLD = threading.Event()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            told = json.loads(body)
            if FLAW == "downloads-anything":
                urllib.request.urlopen(told["data"]["imageUrl"]).read()
        except (ValueError, LookupError, TypeError, OSError):
            told = {}
        self.send_response(500 if FLAW == "fails" and not told else 204)
        self.end_headers()
        TOLD.set()

    def log_message(self, *_):
        pass


def post(path, body):
    headers = {"TT-API-KEY": os.environ["TT_API_KEY"], "Content-Type": "application/json"}
    request = urllib.request.Request(BASE_URL + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=2) as answer:
        return json.load(answer)


def main():
    wanted = urllib.parse.urlsplit(os.environ.get("FLUXMOCK_HOOK_URL", "http://127.0.0.1:0/hook"))
    with ThreadingHTTPServer((wanted.hostname, wanted.port), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hook_url = f"http://127.0.0.1:{server.server_port}/hook"
        order = {"prompt": os.environ["FLUXMOCK_PROMPT"], "mode": os.environ["FLUXMOCK_MODE"], "hookUrl": hook_url}
        job = post("/flux/generate", order)["data"]
        while True:
            TOLD.wait(PAUSE)
            TOLD.clear()
            answer = post("/flux/fetch", {"jobId": job["jobId"]})
            if answer["status"] == "FAILED":
                sys.exit(answer["message"])
            if answer["status"] == "SUCCESS":
                print(answer["data"]["imageUrl"])
                time.sleep(0.1)
                server.shutdown()
                return


main()
