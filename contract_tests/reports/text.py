"""text: for people, at a terminal and in logs."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len, chop_cells

from contract_tests.checker import Report
from contract_tests.findings import RULES, Finding, Severity
from contract_tests.reports import seen
from contract_tests.reports.frame import Context, Verdict, grouped, verdict_of
from contract_tests.reports.wording import (
    NOUNS,
    amount,
    chosen,
    contracts,
    counted,
    example,
    headline,
    how_sure,
    where_in_body,
)

_MARKS = {Severity.ERROR: "✗", Severity.WARNING: "!", Severity.INFO: "i", Severity.OFF: "-"}
_COLOURS = {Severity.ERROR: "31", Severity.WARNING: "33", Severity.INFO: "36", Severity.OFF: "0"}
_VERDICTS = {Verdict.CLEAN: "1;32", Verdict.FAILED: "1;31", Verdict.NOTHING: "1;31"}
_PLAIN = str.maketrans({"✗": "x", "✓": "+", "×": "x", "→": ">", "·": "-", "…": "..."})
_MOST_TROUBLES = 20
_NARROWEST = 40


def render(report: Report, context: Context) -> str:
    """Return the report as lines of text; the first says what to do."""
    return fitted("\n".join(_Text(report, context).lines()) + "\n", context.encoding)


def fitted(text: str, encoding: str) -> str:
    """Return the text with plainer signs where `encoding` lacks ours, and escapes for what else it lacks."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text


def wrapped(text: str, first: str, then: str, width: int) -> list[str]:
    """
    Return a text in lines that fit; wide characters count as two columns.

    Args:
        text: the text, in one line.
        first: what the first line begins with.
        then: what the others begin with; not shorter than `first`.
        width: columns, of which it takes 40 where there are fewer.
    """
    room = max(width, _NARROWEST) - len(then)
    lines: list[str] = []
    words: list[str] = []
    used = 0
    for word in text.split(" "):
        wide = cell_len(word)
        if words and used + 1 + wide > room:
            lines.append(" ".join(words))
            words, used = [], 0
        if wide > room:
            *full, last = chop_cells(word, room)
            lines += full
            words, used = [last], cell_len(last)
            continue
        used += wide + bool(words)
        words.append(word)
    lines.append(" ".join(words))
    return [f"{then if index else first}{line}" for index, line in enumerate(lines)]


class _Text:
    def __init__(self, report: Report, context: Context) -> None:
        self._report = report
        self._context = context
        self._advised: set[str] = set()

    def lines(self) -> Iterator[str]:
        report, context = self._report, self._context
        verdict = verdict_of(report, context.fail_on)
        yield self._coloured(headline(report, context), _VERDICTS[verdict])
        for severity, places in grouped(report.findings):
            yield ""
            total = sum(len(findings) for _, _, findings in places)
            title = counted(total, NOUNS[severity]) + (" (info)" if severity is Severity.INFO else "")
            yield self._coloured(title, f"1;{_COLOURS[severity]}")
            for endpoint, host, findings in places:
                yield f"  {endpoint}{f' at {host}' if len(report.contracts) > 1 and host else ''}"
                for finding in findings:
                    yield from self._finding(finding)
        yield from self._effects()
        yield from self._troubles()
        if report.findings:
            yield ""
            yield from self._wrapped(f"checked: {amount(report)} against {contracts(report)}", "", "  ")
        if len(report.contracts) > 1:
            for host, choice in sorted(report.contracts.items()):
                yield from self._wrapped(f"{host or 'a host that is not known'}: {chosen(choice)}", "  ", "    ")
        yield from self._seen(seen.observed(report))
        yield from self._seen(seen.coverage(report))

    def _seen(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            text = line.lstrip(" ")
            indent = " " * (len(line) - len(text))
            if not indent:
                yield ""
            yield from self._wrapped(text, indent, f"{indent}  ")

    def _finding(self, finding: Finding) -> Iterator[str]:
        mark = self._coloured(_MARKS[finding.severity], _COLOURS[finding.severity])
        first = f"{finding.rule} {where_in_body(finding)} ×{finding.count:,}, first in {finding.place}"
        head, *more = self._wrapped(first, "      ", "      ")
        yield f"    {mark} {head.lstrip()}"
        yield from more
        said = [finding.message, f"e.g. {example(finding)}" if example(finding) else "", how_sure(finding.fact)]
        yield from self._wrapped(" · ".join(part for part in said if part), "      ", "      ")
        if finding.rule not in self._advised:
            self._advised.add(finding.rule)
            yield from self._wrapped(f"→ {RULES[finding.rule].advice}", "      ", "        ")

    def _effects(self) -> Iterator[str]:
        effects = self._report.effects or ()
        if effects:
            yield ""
            breaking = sum(effect.breaking is True for effect in effects)
            yield self._coloured(f"breaking for your client: {breaking or 'nothing'} of {len(effects)}", "1")
        for effect in effects:
            answer = {True: "yes", False: "no", None: "cannot tell"}[effect.breaking]
            finding = effect.finding
            about = f"{finding.endpoint} {finding.rule} {where_in_body(finding)}: {answer}, {effect.why}"
            yield from self._wrapped(about, "  ", "      ")

    def _troubles(self) -> Iterator[str]:
        troubles = self._report.troubles
        if not troubles:
            return
        yield ""
        yield self._coloured(f"{self._report.unread:,} could not be read", "1;31")
        for trouble in troubles[:_MOST_TROUBLES]:
            yield from self._wrapped(f"{trouble.place}: {trouble.why}", "  ", "    ")
        if len(troubles) > _MOST_TROUBLES:
            yield f"  and {sum(trouble.times for trouble in troubles[_MOST_TROUBLES:]):,} more"

    def _coloured(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._context.colour else text

    def _wrapped(self, text: str, first: str, then: str) -> list[str]:
        return wrapped(text, first, then, self._context.width)
