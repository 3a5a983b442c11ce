"""What may happen to a fetch."""

from __future__ import annotations

from contract_tests.clients.directives.base import Directive, Family, lost_answers, rule

_SLOW = {"on": "job", "then": {"queue_seconds": 30, "run_seconds": 45}}
# So that fetches go well before and after those that fail, and the client's own pauses are seen.


def odd_fetches() -> list[Directive]:
    """Return answers to fetches that a client has to live with."""
    made = [
        Directive(
            f"fetch: status {status!r}{times}",
            Family.UNKNOWN_STATUS,
            (rule("fetch", {"first": count}, set={"/status": status}),),
        )
        for times, count in ((" once", 1), (" three times", 3))
        for status in ("THROTTLED_2", "on_queue", "ON_QUEUE ", "")
    ]
    made += [
        Directive(
            f"fetch: 404 for the first {count}",
            Family.LATE_VISIBILITY,
            (rule("fetch", {"first": count}, status=404),),
            harmless=count <= 2,
        )
        for count in (1, 2, 8)
    ]
    made += [
        Directive(f"fetch: {what}{times}", Family.FLAKY_FETCH, (rule("fetch", {"first": count}, **then),))
        for times, count in ((" once", 1), (" three times", 3))
        for what, then in {**lost_answers(), "500": {"status": 500}, "503": {"status": 503}}.items()
    ]
    made += [
        Directive(
            f"fetch: {what} from the second to the fourth",
            Family.FLAKY_FETCH,
            (_SLOW, rule("fetch", {"from": 2, "to": 4}, **then)),
        )
        for what, then in {"500": {"status": 500}, "reset": lost_answers()["reset"]}.items()
    ]
    made += [
        Directive(f"fetch: {what}, always", Family.BROKEN_FETCH, (rule("fetch", None, **then),), harmless=False)
        for what, then in {"500": {"status": 500}, "429": {"status": 429}, "reset": lost_answers()["reset"]}.items()
    ]
    made.append(
        Directive(
            "fetch: ON_QUEUE, then PENDING_QUEUE",
            Family.REGRESSING_STATUS,
            (
                rule("fetch", 1, set={"/status": "ON_QUEUE"}),
                rule("fetch", 2, set={"/status": "PENDING_QUEUE", "/data": None}),
            ),
        )
    )
    return made
