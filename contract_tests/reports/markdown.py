"""markdown: a table, for a comment on a pull request."""

from __future__ import annotations

from contract_tests.checker import Report
from contract_tests.findings import RULES, Finding
from contract_tests.reports.frame import Context, grouped
from contract_tests.reports.seen import coverage
from contract_tests.reports.text import fitted
from contract_tests.reports.wording import amount, chosen, contracts, counted, example, headline, how_sure

_LONGEST = 60_000
# Characters. GitHub refuses comments of more than 65,536.
_MOST_TROUBLES = 20
_HEAD = ("| | rule | where | what | × | first in |", "|---|---|---|---|--:|---|")


def render(report: Report, context: Context) -> str:
    """Return the report as a headline and a table. What was recorded stands as code, where nothing is interpreted."""
    text = [f"**{prose(headline(report, context))}**", ""]
    findings = [it for _, places in grouped(report.findings) for _, _, those in places for it in those]
    if findings:
        text += [*_HEAD, *_rows(findings, several=len(report.contracts) > 1), ""]
        rules = dict.fromkeys(finding.rule for finding in findings)
        text += [*(f"- `{rule}`: {RULES[rule].title}; {RULES[rule].advice}" for rule in rules), ""]
        text += [f"Checked: {amount(report)} against {contracts(report)}.", ""]
    if len(report.contracts) > 1:
        text += [
            *(
                f"- {code(host or 'a host that is not known')}: {chosen(choice)}"
                for host, choice in sorted(report.contracts.items())
            ),
            "",
        ]
    if report.troubles:
        text += [f"{report.unread:,} could not be read:", ""]
        text += [f"- {code(str(it.place))}: {code(it.why[:200])}" for it in report.troubles[:_MOST_TROUBLES]]
        if len(report.troubles) > _MOST_TROUBLES:
            text.append(f"- and {_more(report):,} more")
        text.append("")
    if report.coverage:
        text += [line for told in coverage(report) for line in _told(told)]
    return fitted("\n".join(text).rstrip("\n") + "\n", context.encoding)


def _more(report: Report) -> int:
    return sum(trouble.times for trouble in report.troubles[_MOST_TROUBLES:])


def _told(line: str) -> list[str]:
    """Return a line on coverage: a heading as a paragraph, and what is indented as a list of that depth."""
    text = line.lstrip(" ")
    indent = " " * (len(line) - len(text) - 2)
    return [f"{indent}- {code(text)}"] if line.startswith(" ") else ["", prose(text), ""]


def _rows(findings: list[Finding], *, several: bool) -> list[str]:
    rows: list[str] = []
    length = 0
    for number, finding in enumerate(findings):
        row = _row(finding, several=several)
        length += len(row)
        if length > _LONGEST // 2:
            # The other half is for what stands around the table.
            return [*rows, f"| | | | and {counted(len(findings) - number, 'finding')} more | | |"]
        rows.append(row)
    return rows


def _row(finding: Finding, *, several: bool) -> str:
    where = " ".join(
        part
        for part in (
            code(finding.endpoint),
            code(finding.pointer),
            f"at {code(finding.host)}" if several and finding.host else "",
        )
        if part
    )
    shown = example(finding)
    said = [code(finding.message), f"e.g. {code(shown)}" if shown else "", how_sure(finding.fact)]
    what = "<br>".join(part for part in said if part)
    place = code(str(finding.place))
    return f"| {finding.severity} | `{finding.rule}` | {where} | {what} | {finding.count:,} | {place} |"


def code(text: str) -> str:
    """Return a text as code. A pipe would end the cell and a backtick the code, so these go as entities."""
    if not text.strip():
        return ""
    if not any(sign in text for sign in "`|\\"):
        return f"`{text}`"
    return f"<code>{_entities(text)}</code>"


def prose(text: str) -> str:
    """Return a text that Markdown leaves as it is; names are no mentions."""
    return text if all(char.isalnum() or char in " .,:;()'-/×" for char in text) else f"<code>{_entities(text)}</code>"


def _entities(text: str) -> str:
    plain = (char if char.isalnum() or char in " /,-" or ord(char) > 127 else f"&#{ord(char)};" for char in text)
    return "".join(plain)
