"""A client of urllib's: `generate.py BASE_URL API_KEY PROMPT [FLAW]`; without a flaw it is a good one."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

BASE_URL, API_KEY, PROMPT = sys.argv[1:4]
FLAW = sys.argv[4] if len(sys.argv) > 4 else ""
PAUSE = 1.0 / float(os.environ["FLUXMOCK_SPEED"])


def post(path, body):
    headers = {"TT-API-KEY": API_KEY, "Content-Type": "application/json"}
    request = urllib.request.Request(BASE_URL + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=2) as answer:
        return json.load(answer)


def order():
    body = {"prompt": PROMPT, "mode": os.environ["FLUXMOCK_MODE"]}
    for _ in range(2 if FLAW == "orders-again" else 0):
        try:
            return post("/flux/generate", body)["data"]["jobId"]
        except (OSError, ValueError):
            time.sleep(PAUSE / 10)
    return post("/flux/generate", body)["data"]["jobId"]


def main():
    if FLAW == "prints-the-key":
        print("my key is", API_KEY, file=sys.stderr)
    if FLAW == "leaves-a-child":
        subprocess.Popen(["sh", "-c", "echo >$FIFO; exec sleep 600 >$FIFO"])
    job_id = order()
    while True:
        try:
            answer = post("/flux/fetch", {"jobId": job_id})
        except (OSError, ValueError):
            answer = {"status": "unknown"}
        if answer["status"] == "FAILED":
            sys.exit(answer["message"])
        if answer["status"] == "SUCCESS":
            print(answer["data"]["imageUrl"])
            return
        time.sleep(0.0 if FLAW == "never-rests" else PAUSE)


main()
