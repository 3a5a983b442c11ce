"""markdown: a table, for a comment on a pull request."""

from __future__ import annotations

from contract_tests.clients.lanes import timeline
from contract_tests.clients.reports.frame import Context, again, is_broken, ordered
from contract_tests.clients.reports.wording import (
    amount,
    billed,
    headline,
    met_lines,
    scenario_line,
    state,
    why_not,
)
from contract_tests.clients.verdict import PropertyResult, Result, Verdict
from contract_tests.reports.markdown import code, prose
from contract_tests.reports.masking import encodable, shown
from contract_tests.reports.text import fitted

_HEAD = ("| property | level | result | what the client did, and the usual fix |", "|---|---|---|---|")
_MOST_MET = 12
_MOST_LANES = 5
# Comments on pull requests have a limit of some 65,000 characters.


def render(verdict: Verdict, context: Context) -> str:
    """Return the verdict as a headline, a table, and the timelines of what broke."""
    text = [f"**{prose(headline(verdict, context))}**", "", *_HEAD]
    text += [_row(result, verdict) for result in ordered(verdict)]
    broken = [result for result in ordered(verdict) if is_broken(result)]
    for result in broken[:_MOST_LANES]:
        text += ["", f"<details><summary>{result.property.id}: how it went</summary>", "", *_story(result, context)]
        text += ["", "</details>"]
    text += ["", f"Played: {amount(verdict, context)}.", ""]
    text += [f"- {kind}: {code(encodable(shown(what)))}" for kind, what in met_lines(verdict, _MOST_MET)]
    return fitted("\n".join(text).rstrip("\n") + "\n", context.encoding)


def _row(result: PropertyResult, verdict: Verdict) -> str:
    said = []
    if is_broken(result):
        why = code(encodable(shown(result.why)))
        said = [why, f"**{billed(result.bills)}**" if result.bills > 1 else "", code(scenario_line(result))]
        said.append(result.property.fix.replace("|", "\\|"))
    elif result.result is Result.NOT_EXERCISED:
        said = [why_not(result, verdict)]
    one = result.property
    return f"| {one.id} {one.title} | {one.level} | {state(result)} | {'<br>'.join(part for part in said if part)} |"


def _story(result: PropertyResult, context: Context) -> list[str]:
    lane = timeline(result.story).split("\n") if result.story is not None else []
    command = again(result, context)
    # Indented, so that no backtick of the client's can end it.
    return [*(f"    {line}" for line in lane), *(["", f"Again: {code(command)}"] if command else [])]
