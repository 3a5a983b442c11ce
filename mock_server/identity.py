"""Seeded identity: job ids, the luck of a job, the names of image files. Same seed and key, same everything."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b

TAG_BYTES = 4
_ID_BYTES = 16
_DAY = 86400


@dataclass(frozen=True, slots=True)
class Luck:
    """What is drawn for one job: its id, and two shares from 0 to 1 that place its times within their ranges."""

    job_id: str
    queue_share: float
    run_share: float


class Source:
    """The seeded source of one tenant: draw number n is always the same."""

    def __init__(self, seed: int, key: str) -> None:
        self._root = blake2b(b"%d\0" % seed + key.encode("utf-8", "surrogateescape"), digest_size=24)
        self.tag = self._root.digest()[:TAG_BYTES]

    def draw(self, number: int) -> Luck:
        """Return what job `number` of the tenant gets."""
        state = self._root.copy()
        state.update(b"\0%d" % number)
        digest = state.digest()
        text = digest[:_ID_BYTES].hex()
        # The form of a random UUID, version 4, as in S1's examples.
        variant = "89ab"[digest[8] & 3]
        job_id = f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
        return Luck(
            job_id,
            int.from_bytes(digest[16:20], "big") / 0xFFFFFFFF,
            int.from_bytes(digest[20:24], "big") / 0xFFFFFFFF,
        )

    def share(self, label: str) -> float:
        """Return a number from 0 to below 1 that is drawn for `label`, and always the same."""
        state = self._root.copy()
        state.update(b"\1" + label.encode())
        return int.from_bytes(state.digest()[:6], "big") / (1 << 48)


@lru_cache(maxsize=1024)
def image_path(tag: bytes, job_id: str, finished_at: float) -> str:
    """Return the path of a result, shaped like the real CDN's (S1): the day, then 32 letters and digits."""
    name = base64.b32encode(bytes.fromhex(job_id.replace("-", "")) + tag).decode("ascii").lower()
    return f"/{day(finished_at)}/{name}.webp"


def read_image_name(name: str) -> tuple[bytes, str] | None:
    """Return the tenant's tag and the job id that an image name stands for; None when it is no such name."""
    try:
        raw = base64.b32decode(name.upper())
    except (binascii.Error, ValueError):
        return None
    if len(raw) != _ID_BYTES + TAG_BYTES or name != name.lower():
        return None
    text = raw[:_ID_BYTES].hex()
    return raw[_ID_BYTES:], f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def day(instant: float) -> str:
    """Return the UTC day of an instant, as in 2024-09-10."""
    return _day(int(instant // _DAY))


@lru_cache(maxsize=64)
def _day(number: int) -> str:
    return datetime.fromtimestamp(number * _DAY, UTC).strftime("%Y-%m-%d")
