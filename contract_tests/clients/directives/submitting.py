"""What may happen to a submission, and to the job that it makes."""

from __future__ import annotations

from contract_tests.clients.directives.base import Directive, Family, lost_answers, rule


def ambiguous_submits() -> list[Directive]:
    """Return submissions that are accepted and whose answers get lost, once or always, or come late."""
    lost = [
        Directive(
            f"submit: {what} after accept{when}",
            Family.AMBIGUOUS_SUBMIT,
            (rule("submit", calls, accepted=True, **then),),
            harmless=False,
        )
        for when, calls in (("", 1), (", every time", None))
        for what, then in lost_answers().items()
    ]
    late = [
        Directive(
            f"submit: accepted, answered after {seconds} s",
            Family.AMBIGUOUS_SUBMIT,
            (rule("submit", None, delay=seconds),),
            harmless=False,
        )
        for seconds in (8, 25)
    ]
    return lost + late


def rejected_submits() -> list[Directive]:
    """Return submissions that are refused for good."""
    return [
        Directive(f"submit: {status}", Family.REJECTED_SUBMIT, (rule("submit", None, status=status),), harmless=False)
        for status in (400, 401, 402, 403)
    ]


def jobs() -> list[Directive]:
    """Return fates of jobs."""
    return [
        Directive(
            "job: fails", Family.FAILED_JOB, ({"on": "job", "then": {"fail": "prompt violation"}},), harmless=False
        ),
        Directive(
            "job: fails after a while",
            Family.FAILED_JOB,
            ({"on": "job", "then": {"fail": "prompt violation", "queue_seconds": 10, "run_seconds": 20}},),
            harmless=False,
        ),
        Directive("job: slow", Family.SLOW_JOB, ({"on": "job", "then": {"queue_seconds": 30, "run_seconds": 45}},)),
        Directive(
            "job: done at once", Family.SLOW_JOB, ({"on": "job", "then": {"queue_seconds": 0, "run_seconds": 0}},)
        ),
        Directive(
            "job: never ends", Family.ENDLESS_JOB, ({"on": "job", "then": {"run_seconds": 10_000_000}},), harmless=False
        ),
        Directive(
            "job: waits for ever",
            Family.ENDLESS_JOB,
            ({"on": "job", "then": {"queue_seconds": 10_000_000}},),
            harmless=False,
        ),
    ]
