"""Upload an image with `requests`, as /flux/edits wants it: fields in data=, the file in files=.

Run: python python_edits_requests.py IMAGE
"""

import os
import sys
import time
from pathlib import Path

import requests

base_url = os.environ.get("FLUXMOCK_BASE_URL", "http://127.0.0.1:8787")
headers = {"TT-API-KEY": os.environ.get("TT_API_KEY", "any-key")}
poll_seconds = float(os.environ.get("POLL_SECONDS", "3"))
out = Path(os.environ.get("OUT", "./result.webp"))

if len(sys.argv) != 2:
    sys.exit("usage: python python_edits_requests.py IMAGE")
image = Path(sys.argv[1])

# Two traps, both in the vendor's page. requests drops json= when files= is given: prompt and mode would not
# arrive, so they go in data=. And no Content-Type by hand: requests writes it, with the boundary of the parts.
data = {"prompt": "a cute cat", "mode": "flux1-dev", "aspect_ratio": "4:3"}
files = [("image", (image.name, image.read_bytes(), "application/octet-stream"))]
response = requests.post(f"{base_url}/flux/edits", headers=headers, data=data, files=files, timeout=60)
response.raise_for_status()

submitted = response.json()["data"]
job_id = submitted.get("jobId") or submitted["job_id"]  # the newer contract writes job_id
print("job", job_id)

while True:
    response = requests.post(f"{base_url}/flux/fetch", headers=headers, json={"jobId": job_id}, timeout=30)
    response.raise_for_status()
    result = response.json()
    print(result["status"])
    if result["status"] in {"SUCCESS", "FAILED"}:
        break
    time.sleep(poll_seconds)

if result["status"] == "FAILED":
    sys.exit(f"the job failed: {result['message']}")

edited = requests.get(result["data"]["imageUrl"], timeout=60)
edited.raise_for_status()
out.write_bytes(edited.content)
print(out)
