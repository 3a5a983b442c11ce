"""text: a card for people, at a terminal and in logs."""

from __future__ import annotations

from collections.abc import Iterator

from contract_tests.clients.lanes import timeline
from contract_tests.clients.properties.base import Level
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
from contract_tests.clients.verdict import Exit, PropertyResult, Result, Verdict
from contract_tests.reports.masking import encodable, shown
from contract_tests.reports.text import fitted, wrapped

_RED, _YELLOW, _GREEN, _SOFT, _BOLD = "31", "33", "32", "2", "1"
_INDENT = "      "
_LABELS = len("scenario")
_MOST_MET = 8
_NARROWEST = 60


def render(verdict: Verdict, context: Context) -> str:
    """Return the verdict as lines of text: what it is, what broke, what held, what the client met."""
    return fitted("\n".join(_Card(verdict, context).lines()) + "\n", context.encoding)


def failure(result: PropertyResult, context: Context) -> str:
    """Return the part of the card that is about one failure, with its timeline."""
    card = _Card(Verdict((result,), 0, 0, 0), context)
    return fitted("\n".join([*card.broken(result), *card.timeline(result)]) + "\n", context.encoding)


class _Card:
    def __init__(self, verdict: Verdict, context: Context) -> None:
        self._verdict = verdict
        self._context = context
        self._width = max(context.width, _NARROWEST)

    def lines(self) -> Iterator[str]:
        verdict, context = self._verdict, self._context
        colour = _GREEN if verdict.exit_code is Exit.OK else _RED
        yield from self._wrapped(headline(verdict, context), "", "  ", f"{_BOLD};{colour}")
        broken = [one for one in ordered(verdict) if is_broken(one)]
        for result in broken:
            yield ""
            yield from self.broken(result)
        others = [one for one in ordered(verdict) if not is_broken(one)]
        yield from [""] if others else []
        for result in others:
            yield from self._line(result)
        for result in broken[: context.timelines]:
            yield from self.timeline(result)
        yield ""
        yield from self._wrapped(f"played: {amount(verdict, context)}", "", "  ", _SOFT)
        for kind, what in met_lines(verdict, _MOST_MET):
            yield from self._wrapped(f"{kind}: {encodable(shown(what))}", "  ", "    ", _SOFT)

    def broken(self, result: PropertyResult) -> Iterator[str]:
        yield from self._line(result)
        parts = {
            "client": result.why,
            "money": billed(result.bills),
            "scenario": scenario_line(result),
            "seen": "" if result.result is Result.FAIL else f"{result.seen[0]} of {result.seen[1]} times",
            "fix": result.property.fix,
        }
        for label, words in parts.items():
            if words:
                head = f"{_INDENT}{label:<{_LABELS}}  "
                yield from self._wrapped(encodable(shown(words)), head, " " * len(head))
        command = again(result, self._context)
        if command:  # in one line, however long, so that it can be copied
            yield f"{_INDENT}{'again':<{_LABELS}}  {command}"

    def timeline(self, result: PropertyResult) -> Iterator[str]:
        if result.story is not None:
            yield ""
            head = f"{result.property.id}, as it went ({scenario_line(result)}):"
            yield from self._wrapped(encodable(shown(head)), "", "  ")
            yield timeline(result.story, width=self._width, encoding=self._context.encoding)

    def _line(self, result: PropertyResult) -> Iterator[str]:
        one = result.property
        mark, colour = _mark(result)
        aside = ""
        if result.result is Result.NOT_EXERCISED:
            aside = f" ({state(result)}: {why_not(result, self._verdict)})"
        elif result.result is Result.UNSTABLE:
            aside = f" ({state(result)})"
        first, *rest = self._wrapped(f"{one.title}{aside}", "", " " * 13)
        yield f"{self._coloured(mark, colour)} {one.id:<3} {one.level:<6} {first}"
        yield from rest

    def _wrapped(self, text: str, first: str, then: str, colour: str = "") -> Iterator[str]:
        for line in wrapped(text, first, then, self._width):
            yield self._coloured(line, colour) if colour else line

    def _coloured(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._context.colour else text


def _mark(result: PropertyResult) -> tuple[str, str]:
    match result.result:
        case Result.FAIL:
            return ("✗", _RED) if result.property.level is Level.MUST else ("!", _YELLOW)
        case Result.UNSTABLE:
            return "~", _YELLOW
        case Result.PASS:
            return "✓", _GREEN
        case _:
            return "-", _SOFT
