"""What may happen to the download of an image."""

from __future__ import annotations

from typing import Any

from contract_tests.clients.directives.base import Directive, Family, lost_answers, rule

LIFETIME = 60.0
"""Seconds that an image can be had where its URL expires soon. The documented month (S1) is longer than any test."""


def broken_images() -> list[Directive]:
    """Return downloads that are refused, that break off, or that never begin; once or always."""
    lost = lost_answers()
    ways: dict[str, dict[str, Any]] = {
        "403": {"status": 403},
        "404": {"status": 404},
        "500": {"status": 500},
        **{name: lost[name] for name in ("reset", "closed", "no answer", "502 with HTML")},
        "cut off in the middle": {"wire": {"body_bytes": 700, "end": "close"}},
        "chunked, and cut off": {"wire": {"body_bytes": 700, "chunks": [256], "end": "close"}},
    }
    return [
        Directive(f"image: {what}{times}", Family.BROKEN_IMAGE, (rule("image", calls, **then),), harmless=False)
        for times, calls in ((" once", 1), (", always", None))
        for what, then in ways.items()
    ]


def expiring_images() -> list[Directive]:
    """Return images that can be had for a short while only."""
    settings = {"product": {"image_days": {"value": LIFETIME / 86400}}}
    return [Directive(f"image: expires after {LIFETIME:g} s", Family.EXPIRING_IMAGE, settings=settings)]
