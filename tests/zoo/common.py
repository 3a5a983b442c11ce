"""What clients do whatever they call the API with: read an answer, and know how long to wait."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

PAUSE = 2.5
DEADLINE = 150.0
TIMEOUT = 20.0
ATTEMPTS = 4
MOST_PAUSE = 60.0
BUSY = (429, 503)


class FluxError(Exception):
    """What a client reports."""


def order_of(prompt: str) -> dict[str, str]:
    return {"prompt": prompt, "mode": "flux1-dev"}


def job_of(answer: Any) -> str:
    """Return the id of the job that was made."""
    data = answer.get("data") if isinstance(answer, dict) else None
    job_id = data.get("jobId") or data.get("job_id") if isinstance(data, dict) else None
    if not job_id:
        raise FluxError(f"no job was made: {json.dumps(answer)[:200]}")
    return str(job_id)


def url_of(answer: Any) -> str | None:
    """Return the URL of the image; None as long as the job runs."""
    status = answer.get("status") if isinstance(answer, dict) else None
    if status == "FAILED":
        raise FluxError(f"the job failed: {answer.get('message')}")
    if status != "SUCCESS":
        return None
    url = (answer.get("data") or {}).get("imageUrl")
    if not url:
        raise FluxError("the job succeeded, and there is no image")
    return str(url)


def pause_before(attempt: int, retry_after: str | None) -> float:
    """Return for how long to wait after a refusal: as the server says, within reason, or longer each time."""
    told = (retry_after or "").strip()
    if told.isdecimal():
        return min(max(float(told), 0.5), MOST_PAUSE)
    try:
        seconds = parsedate_to_datetime(told).timestamp() - time.time()
    except ValueError:
        return PAUSE * 2**attempt
    return min(max(seconds, PAUSE), MOST_PAUSE)


def polls() -> Iterator[None]:
    """Yield whenever it is time to ask again, until it has taken too long."""
    ends = time.monotonic() + DEADLINE
    while time.monotonic() < ends:
        time.sleep(PAUSE)
        yield
    raise FluxError("the job took too long")
