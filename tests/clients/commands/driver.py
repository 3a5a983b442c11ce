"""A driver: `driver.py [FLAW]` reads a line of JSON for each image that it is to get, and answers with another."""

import json
import os
import sys
import time
import urllib.request

FLAW = sys.argv[1] if len(sys.argv) > 1 else ""


def post(wish, path, body):
    headers = {"TT-API-KEY": wish["api_key"], "Content-Type": "application/json"}
    request = urllib.request.Request(wish["base_url"] + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=2) as answer:
        return json.load(answer)


def generate(wish):
    order = {"prompt": wish["prompt"], "mode": wish["mode"]}
    try:
        job = post(wish, "/flux/generate", order)["data"]
    except (OSError, ValueError):
        if FLAW != "orders-again":
            raise
        job = post(wish, "/flux/generate", order)["data"]
    while True:
        answer = post(wish, "/flux/fetch", job)
        if answer["status"] == "FAILED" and FLAW == "dies-of-failure":
            os._exit(7)
        if answer["status"] == "FAILED":
            raise RuntimeError(answer["message"])
        if answer["status"] == "SUCCESS":
            return answer["data"]["imageUrl"]
        time.sleep(1 / float(os.environ["FLUXMOCK_SPEED"]))


for line in sys.stdin:
    wish = json.loads(line)
    if FLAW == "dies":
        sys.exit("no licence found")
    if FLAW == "chats":
        print("Hello!", flush=True)
    try:
        told = {"id": wish["id"], "ok": True, "image": generate(wish)}
    except Exception as error:  # noqa: BLE001
        told = {"id": wish["id"], "ok": False, "error": repr(error)}
    print(json.dumps(told), flush=True)
