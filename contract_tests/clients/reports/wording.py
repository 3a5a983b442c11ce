"""Words that all reports on a client share."""

from __future__ import annotations

from collections.abc import Iterator

from contract_tests.clients.directives.base import Family
from contract_tests.clients.directives.menu import plain
from contract_tests.clients.met import Kind, by_kind
from contract_tests.clients.named import ALL_WENT_WELL
from contract_tests.clients.properties.base import Level, Need, Property
from contract_tests.clients.reports.frame import Context, ordered
from contract_tests.clients.verdict import Exit, PropertyResult, Result, Verdict
from contract_tests.reports.masking import encodable, shown
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
    works = verdict.works
    if verdict.exit_code is Exit.UNKNOWN:
        return _unknown(verdict, context)
    broken = [level for level in Level if verdict.failures(level)]
    unstable = [one for one in ordered(verdict) if one.result is Result.UNSTABLE]
    more = f"; {counted(len(unstable), 'failure')} not seen every time" if unstable else ""
    counts = listed([f"{len(verdict.failures(level))} {level}" for level in broken]) if broken else ""
    verb = "does" if counts.startswith("1 ") and len(broken) == 1 else "do"
    bills = max((one.bills for one in verdict.failures()), default=0)
    costs = f", and it {billed(bills)}" if bills > 1 else ""
    if works is not None and works.result is Result.FAIL:
        besides = f"; besides, {counts} {verb} not hold{costs}" if broken else ""
        return f"{context.client} failed: it does not work when all goes well: {_clean(works.why)}{besides}{more}"
    if not broken:
        return f"{context.client} passed: {_held(verdict)}{more}"
    word = "failed" if verdict.exit_code is Exit.FAILED else "passed, but"
    return f"{context.client} {word}: {counts} {verb} not hold{costs}{more}"


def _unknown(verdict: Verdict, context: Context) -> str:
    """Return why nothing is known."""
    works = verdict.works
    if not verdict.requests:
        why = f"; {_clean(works.why)}" if works is not None and works.why else ""
        return (
            f"{context.client} never called the API, so nothing is known: it must call the base_url that it is "
            f"given{why}"
        )
    if works is not None and works.result is Result.UNSTABLE:
        return f"{context.client}: nothing is known: not every time did it work when all goes well: {_clean(works.why)}"
    if works is not None and works.result is not Result.PASS:
        return f"{context.client}: nothing is known: it was not seen to end when all goes well; it may need more time"
    one = len(verdict.results) == 1
    which = "the property that was looked for was" if one else f"none of {len(verdict.results)} properties was"
    said = "not " if one else ""
    return f"{context.client}: nothing is known: {which} {said}seen to hold, or not to"


def _clean(words: str) -> str:
    return encodable(shown(words))


def _held(verdict: Verdict) -> str:
    held = sum(one.result is Result.PASS for one in verdict.results)
    unmet = sum(one.result is Result.NOT_EXERCISED for one in verdict.results)
    told = f"{held:,} {'property' if held == 1 else 'properties'} held"
    return f"{told}, {unmet:,} {'was' if unmet == 1 else 'were'} not exercised" if unmet else told


def billed(bills: int) -> str:
    """Return the money that a failure costs, in words; empty where it costs none."""
    return f"bills {bills} times for one image" if bills > 1 else ""


def state(result: PropertyResult) -> str:
    """Return a result in words."""
    if result.result is Result.UNSTABLE:
        return f"unstable {result.seen[0]}/{result.seen[1]}"
    return result.result.value.replace("_", " ")


def why_not(result: PropertyResult, verdict: Verdict) -> str:
    """
    Return why a property was not exercised.

    Args:
        result: what is known of it.
        verdict: what else is known of the client.
    """
    one = result.property
    if not verdict.requests:
        return "it never called"
    if one.families and not _may_have_tried(one, verdict):
        return "no scenario that tries it was played"
    needs = [_NEEDS[need] for need in _missing(one, verdict)]
    return f"needs {listed(needs)}" if needs else one.unseen


def _may_have_tried(one: Property, verdict: Verdict) -> bool:
    """Whether a scenario was played that is about a property, or one of which nobody can tell by its name."""
    families: dict[str, Family] = {directive.name: directive.family for directive in plain()}
    return any(families.get(name) in {*one.families, None} for name in by_kind(verdict.met)[Kind.DIRECTIVE])


def _missing(one: Property, verdict: Verdict) -> list[Need]:
    """Return what a property needs and this client has not: nothing of what it was seen to have by another property."""
    seen = {
        need for other in verdict.results if other.result is not Result.NOT_EXERCISED for need in other.property.needs
    }
    if one.families:  # it would have none without a receiver or a file: see `explorable`
        seen |= {Need.HOOKS, Need.EDITS}
    return [need for need in Need if need in one.needs - seen]


def scenario_line(result: PropertyResult) -> str:
    """Return what the server did, in one line."""
    return "; ".join(result.directives) or ALL_WENT_WELL


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
