"""Words that all reports on a client share."""

from __future__ import annotations

from collections.abc import Iterator

from contract_tests.clients.met import Kind, by_kind
from contract_tests.clients.properties.base import Level, Need
from contract_tests.clients.reports.frame import Context
from contract_tests.clients.verdict import Exit, PropertyResult, Result, Verdict
from contract_tests.reports.wording import counted, listed

_NEEDS = {
    Need.HOOKS: "a client that takes webhooks, and its receiver",
    Need.EDITS: "a client that takes a file to edit",
    Need.DOWNLOADS: "a client that downloads the image",
}
_KINDS = {
    Kind.STATUS: "HTTP statuses",
    Kind.TOLD: "job statuses",
    Kind.NULL: "nulls",
    Kind.FAULT: "faults",
    Kind.HOOK: "hooks",
}


def headline(verdict: Verdict, context: Context) -> str:
    """Return the line that says most."""
    if verdict.exit_code is Exit.NEVER_CALLED:
        return f"{context.client} never called the API, so nothing is known: it must call the base_url that it is given"
    broken = [level for level in Level if verdict.failures(level)]
    unstable = [one for one in verdict.results if one.result is Result.UNSTABLE]
    more = f"; {counted(len(unstable), 'failure')} not seen every time" if unstable else ""
    if not broken:
        return f"{context.client} passed: {_held(verdict)}{more}"
    counts = listed([f"{len(verdict.failures(level))} {level}" for level in broken])
    verb = "does" if counts.startswith("1 ") and len(broken) == 1 else "do"
    bills = max(one.bills for one in verdict.failures())
    costs = f", and it {billed(bills)}" if bills > 1 else ""
    word = "failed" if verdict.exit_code is Exit.FAILED else "passed, but"
    return f"{context.client} {word}: {counts} {verb} not hold{costs}{more}"


def _held(verdict: Verdict) -> str:
    held = [one for one in verdict.results if one.result is Result.PASS]
    unmet = [one for one in verdict.results if one.result is Result.NOT_EXERCISED]
    return f"{counted(len(held), 'property').replace('propertys', 'properties')} held" + (
        f", {len(unmet)} were not exercised" if unmet else ""
    )


def billed(bills: int) -> str:
    """Return the money that a failure costs, in words; empty where it costs none."""
    return f"bills {bills} times for one image" if bills > 1 else ""


def state(result: PropertyResult) -> str:
    """Return a result in words."""
    if result.result is Result.UNSTABLE:
        return f"unstable {result.seen[0]}/{result.seen[1]}"
    return result.result.value.replace("_", " ")


def why_not(result: PropertyResult) -> str:
    """Return why a property was not exercised."""
    needs = [_NEEDS[need] for need in Need if need in result.property.needs]
    return f"needs {listed(needs)}" if needs else "what it is about never happened"


def scenario_line(result: PropertyResult) -> str:
    """Return what the server did, in one line."""
    return "; ".join(result.directives) or "all went well"


def amount(verdict: Verdict, context: Context) -> str:
    """Return how much was played."""
    contract = f"contract {context.contract}, " if context.contract else ""
    return (
        f"{counted(verdict.examples, 'scenario')} and {counted(verdict.replays, 'replay')} in "
        f"{counted(verdict.requests, 'call')}; {contract}seed {context.seed}"
    )


def met_lines(verdict: Verdict, most: int) -> Iterator[tuple[str, str]]:
    """Yield what the client met: a kind, and what of it and how often; of each at most `most`."""
    for kind, found in by_kind(verdict.met).items():
        if not found or kind is Kind.DIRECTIVE:  # that is what was played, and there are too many to read
            continue
        told = [f"{what} ×{count:,}" for what, count in list(found.items())[:most]]
        rest = [f"{len(found) - most} more"] if len(found) > most else []
        yield _KINDS[kind], ", ".join([*told, *rest])
