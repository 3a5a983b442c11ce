"""asyncio: generate an image, then upload it to /flux/edits under a file name that is not ASCII.

Run: python python_aiohttp.py
"""

import asyncio
import os
import sys
from pathlib import Path

import aiohttp

BASE_URL = os.environ.get("FLUXMOCK_BASE_URL", "http://127.0.0.1:8787")
HEADERS = {"TT-API-KEY": os.environ.get("TT_API_KEY", "any-key")}
POLL_SECONDS = float(os.environ.get("POLL_SECONDS", "3"))
OUT = Path(os.environ.get("OUT", "./result.webp"))


async def post(session, path, **body):
    async with session.post(BASE_URL + path, headers=HEADERS, **body) as answer:
        return await answer.json()


async def make(session, path, **body):
    """Submit a job, wait for its end, and return the image."""
    data = (await post(session, path, **body))["data"]
    job_id = data.get("jobId") or data["job_id"]  # the newer contract writes job_id
    print("job", job_id)

    while True:
        result = await post(session, "/flux/fetch", json={"jobId": job_id})
        print(result["status"])
        if result["status"] == "FAILED":
            sys.exit(f"the job failed: {result['message']}")
        if result["status"] == "SUCCESS":
            break
        await asyncio.sleep(POLL_SECONDS)

    async with session.get(result["data"]["imageUrl"]) as image:
        return await image.read()


async def main():
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        image = await make(session, "/flux/generate", json={"prompt": "a cat", "mode": "flux1-dev"})

        form = aiohttp.FormData()
        form.add_field("prompt", "the same cat, in oil")
        form.add_field("mode", "flux-kontext-pro")
        form.add_field("aspect_ratio", "3:2")
        form.add_field("image", image, filename="小猫.webp", content_type="image/webp")
        OUT.write_bytes(await make(session, "/flux/edits", data=form))
    print(OUT)


asyncio.run(main())
