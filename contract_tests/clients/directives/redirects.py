"""Answers that send a client to another place, where its key has no business."""

from __future__ import annotations

from contract_tests.clients.directives.base import ORIGINS, Directive, Family, rule

_AGAIN = "?again=1"
# Relative, so that it leads to the same place for ever.


def redirects() -> list[Directive]:
    """Return redirects to strange hosts, to addresses of the client's own network, and in a circle."""
    strange = [
        (on, status, ORIGINS["elsewhere"] + "/moved", "another host")
        for on in ("submit", "fetch", "image")
        for status in (307, 302)
    ]
    inside = [
        (on, 307, ORIGINS[role] + path, place)
        for on in ("fetch", "image")
        for role, path, place in (
            ("loopback", "/", "127.0.0.1"),
            ("metadata", "/latest/meta-data/", "the metadata service"),
        )
    ]
    circles = [(on, 307, _AGAIN, "itself, for ever") for on in ("submit", "fetch", "image")]
    return [
        Directive(
            f"{on}: {status} to {where}",
            Family.REDIRECT,
            (rule(on, None, status=status, redirect=target),),
            harmless=False,
        )
        for on, status, target, where in (*strange, *inside, *circles)
    ]
