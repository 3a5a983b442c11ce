"""A driver that edits pictures: `edits.py` reads a line of JSON for each, and answers with another."""

import json
import sys
import time
from pathlib import Path

import requests


def get(wish):
    headers = {"TT-API-KEY": wish["api_key"]}
    fields = {"prompt": wish["prompt"], "mode": wish["mode"]}
    if wish["image"] is None:
        answer = requests.post(f"{wish['base_url']}/flux/generate", json=fields, headers=headers, timeout=5)
    else:
        files = {"image": ("picture.png", Path(wish["image"]).read_bytes(), "image/png")}
        answer = requests.post(f"{wish['base_url']}/flux/edits", data=fields, files=files, headers=headers, timeout=5)
    job = answer.json()["data"]
    for _ in range(20):
        answer = requests.post(f"{wish['base_url']}/flux/fetch", json=job, headers=headers, timeout=5).json()
        if answer["status"] == "SUCCESS":
            return answer["data"]["imageUrl"]
        time.sleep(0.1)
    raise TimeoutError("it took too long")


for line in sys.stdin:
    wish = json.loads(line)
    try:
        told = {"id": wish["id"], "ok": True, "image": get(wish)}
    except Exception as error:  # noqa: BLE001
        told = {"id": wish["id"], "ok": False, "error": repr(error)}
    print(json.dumps(told), flush=True)
