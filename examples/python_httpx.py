"""httpx with one client that holds base URL and key, and a prompt that is not English.

Run: python python_httpx.py
"""

import os
import sys
import time
from pathlib import Path

import httpx

BASE_URL = os.environ.get("FLUXMOCK_BASE_URL", "http://127.0.0.1:8787")
KEY = os.environ.get("TT_API_KEY", "any-key")
POLL_SECONDS = float(os.environ.get("POLL_SECONDS", "3"))
OUT = Path(os.environ.get("OUT", "./result.webp"))


def post(client, path, body):
    answer = client.post(path, json=body)
    answer.raise_for_status()
    return answer.json()


with httpx.Client(base_url=BASE_URL, headers={"TT-API-KEY": KEY}) as client:
    order = {"prompt": "漂亮的亚洲女孩和一只猫的合影", "mode": "flux-2-pro", "aspect_ratio": "16:9"}
    data = post(client, "/flux/generate", order)["data"]
    job_id = data.get("jobId") or data["job_id"]  # the newer contract writes job_id
    print("job", job_id)

    while (result := post(client, "/flux/fetch", {"jobId": job_id}))["status"] not in {"SUCCESS", "FAILED"}:
        print(result["status"])
        time.sleep(POLL_SECONDS)

if result["status"] == "FAILED":
    sys.exit(f"the job failed: {result['message']}")

# Not through the client: it would send the key to whichever host the image is on.
image = httpx.get(result["data"]["imageUrl"])
image.raise_for_status()
OUT.write_bytes(image.content)
print(OUT)
