"""Nothing but the standard library; the result is asked for by GET /flux/fetch?jobId=….

Run: python python_urllib.py
"""

import json
import os
import sys
import time
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

BASE_URL = os.environ.get("FLUXMOCK_BASE_URL", "http://127.0.0.1:8787")
KEY = os.environ.get("TT_API_KEY", "any-key")
POLL_SECONDS = float(os.environ.get("POLL_SECONDS", "3"))
OUT = Path(os.environ.get("OUT", "./result.webp"))


def call(path, order=None):
    """POST `order` as JSON, or GET when there is none."""
    headers = {"TT-API-KEY": KEY, "Content-Type": "application/json"}
    body = None if order is None else json.dumps(order).encode()
    with urlopen(Request(BASE_URL + path, body, headers), timeout=30) as answer:
        return json.load(answer)


data = call("/flux/generate", {"prompt": "a lighthouse", "mode": "flux1-dev", "size": "1024x1792"})["data"]
job_id = data.get("jobId") or data["job_id"]  # the newer contract writes job_id
print("job", job_id)

while (result := call("/flux/fetch?" + urlencode({"jobId": job_id})))["status"] not in {"SUCCESS", "FAILED"}:
    print(result["status"])
    time.sleep(POLL_SECONDS)

if result["status"] == "FAILED":
    sys.exit(f"the job failed: {result['message']}")

with urlopen(result["data"]["imageUrl"], timeout=30) as image:
    OUT.write_bytes(image.read())
print(OUT)
