"""Webhooks that the API never sent: what an outsider may post to a receiver, by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from contract_tests.clients.directives.base import ORIGINS

AGAIN = "the true one again"
"""Name of a webhook that is no forgery: what the API sent is sent once more, after a while."""

JSON = "application/json"
_MEGABYTE = 1_000_000
_STRANGER = "6f0e5c1a-94b7-4d0a-8a3e-2b7d9c51e8f4"
_UNKNOWN = "no-such-job"


class Forgery(NamedTuple):
    """A webhook: the bytes of its body, and its type."""

    body: bytes
    content_type: str = JSON


def _success(job_id: str, image: str = f"{ORIGINS['images']}/2024-09-10/forged.webp", **more: Any) -> bytes:
    """Return what the API sends when a job has succeeded, but for who sends it (S3, S5)."""
    data = {"mode": "flux-dev", "jobId": job_id, "prompt": "a cat", "quota": "1", "imageUrl": image}
    told = {"status": "SUCCESS", "message": "success", "jobId": job_id, "data": data, **more}
    return json.dumps(told, separators=(",", ":")).encode()


FORGERIES: Mapping[str, Callable[[str], Forgery]] = {
    "unknown job": lambda _: Forgery(_success(_UNKNOWN)),
    "other key's job": lambda _: Forgery(_success(_STRANGER)),
    "unknown job, image elsewhere": lambda _: Forgery(_success(_UNKNOWN, f"{ORIGINS['elsewhere']}/forged.png")),
    "this job, image elsewhere": lambda job: Forgery(_success(job, f"{ORIGINS['elsewhere']}/forged.png")),
    "this job, image at the metadata service": lambda job: Forgery(
        _success(job, f"{ORIGINS['metadata']}/latest/meta-data/iam/security-credentials/forged")
    ),
    "a form in place of JSON": lambda _: Forgery(
        b"status=SUCCESS&jobId=no-such-job", "application/x-www-form-urlencoded"
    ),
    "wrong content type": lambda _: Forgery(_success(_UNKNOWN), "text/plain"),
    "no content type": lambda _: Forgery(_success(_UNKNOWN), ""),
    "invalid JSON": lambda _: Forgery(_success(_UNKNOWN)[:40]),
    "not UTF-8": lambda _: Forgery(_success(_UNKNOWN).replace(b"a cat", b"\xff\xfe")),
    "no body": lambda _: Forgery(b""),
    "a list": lambda _: Forgery(b"[]"),
    "null": lambda _: Forgery(b"null"),
    "nothing but {}": lambda _: Forgery(b"{}"),
    "data is a list": lambda _: Forgery(_success(_UNKNOWN, data=[])),
    "the job id is an object": lambda _: Forgery(_success(_UNKNOWN, jobId={}, data={"jobId": {}})),
    "1 MB body": lambda _: Forgery(_success(_UNKNOWN, message="x" * _MEGABYTE)),
}
"""Makes the webhook of a name; its argument is the id of a job of the client's, which ought to be no secret."""
