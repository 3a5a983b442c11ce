"""The vendor's own `requests` calls, unchanged but for base URL and key, until the image is there.

Run: python python_requests.py
"""

import os
import sys
import time
from pathlib import Path

import requests

base_url = os.environ.get("FLUXMOCK_BASE_URL", "http://127.0.0.1:8787")
your_key = os.environ.get("TT_API_KEY", "any-key")
poll_seconds = float(os.environ.get("POLL_SECONDS", "3"))
out = Path(os.environ.get("OUT", "./result.webp"))

endpoint = f"{base_url}/flux/generate"

headers = {"TT-API-KEY": your_key}

data = {"prompt": "a cute cat", "mode": "flux1-dev"}

response = requests.post(endpoint, headers=headers, json=data)

print(response.status_code)
print(response.json())
response.raise_for_status()

endpoint = f"{base_url}/flux/fetch"

data = {"jobId": response.json()["data"]["jobId"]}

while True:
    response = requests.post(endpoint, headers=headers, json=data)

    print(response.status_code)
    print(response.json())
    response.raise_for_status()

    if response.json()["status"] in {"SUCCESS", "FAILED"}:
        break
    time.sleep(poll_seconds)

result = response.json()
if result["status"] == "FAILED":
    sys.exit(f"the job failed: {result['message']}")

image = requests.get(result["data"]["imageUrl"])
image.raise_for_status()
out.write_bytes(image.content)
print(out)
