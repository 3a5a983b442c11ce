"""html: one page that needs nothing else, to be kept, sent and printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from contract_tests.checker import Report
from contract_tests.findings import RULES, Finding
from contract_tests.reports.frame import Context, Verdict, grouped, verdict_of
from contract_tests.reports.seen import coverage
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

_STYLE = """
:root { color-scheme: light dark; --line: #d0d0d0; --soft: #5a5a5a; --error: #b00020; --warning: #8a5a00;
  --info: #005a9c; --clean: #1b6e2e; }
@media (prefers-color-scheme: dark) { :root { --line: #444; --soft: #aaa; --error: #ff8a8a; --warning: #ffc266;
  --info: #7cc0ff; --clean: #7fd494; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; }
table { border-collapse: collapse; width: 100%; margin: 0 0 1.5rem; }
caption { text-align: left; font-weight: 600; padding: .4rem 0; overflow-wrap: anywhere; }
th, td { text-align: left; vertical-align: top; border-top: 1px solid var(--line); padding: .4rem .6rem .4rem 0; }
th { font-weight: 600; }
.line { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
td, code { overflow-wrap: anywhere; }
td.number { text-align: right; white-space: nowrap; overflow-wrap: normal; }
code { font: .9em ui-monospace, monospace; }
.soft { color: var(--soft); }
.error, .failed, .nothing { color: var(--error); }
.warning { color: var(--warning); }
.info { color: var(--info); }
.clean { color: var(--clean); }
@media print { body { margin: 0; max-width: none; font-size: 10pt; } tr { break-inside: avoid; } thead {
  display: table-header-group; } }
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render(report: Report, context: Context) -> str:
    """Return the report as one page; whatever it is written in, character references keep it true."""
    return document(context.title, _body(report, context))


def document(title: str, body: Iterable[str], style: str = "") -> str:
    """
    Return a page that needs nothing else, in ASCII.

    Args:
        title: of the page.
        body: its HTML, in lines.
        style: CSS beside that of all reports.
    """
    lines = [
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n<main>",
        *body,
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(lines).encode("ascii", "xmlcharrefreplace").decode()


def _body(report: Report, context: Context) -> Iterator[str]:
    verdict: Verdict = verdict_of(report, context.fail_on)
    title = escape(context.title)
    yield f'<h1 class="{verdict.name.lower()}">{escape(headline(report, context))}</h1>'
    yield f'<p class="soft">{title}: {amount(report)} against {escape(contracts(report))};'
    yield f"{counted(report.others, 'exchange')} about something else.</p>"
    if len(report.contracts) > 1:
        hosts = ((host or "a host that is not known", chosen(choice)) for host, choice in report.contracts.items())
        yield from _list(sorted(hosts))
    for severity, places in grouped(report.findings):
        total = sum(len(findings) for _, _, findings in places)
        yield f'<h2 class="{severity}">{counted(total, NOUNS[severity])}</h2>'
        for endpoint, host, findings in places:
            yield from _table(f"{endpoint} at {host}" if host else endpoint, findings)
    if report.findings:
        rules = dict.fromkeys(finding.rule for finding in report.findings)
        yield "<h2>What to do</h2>"
        yield from _list((rule, f"{RULES[rule].title}; {RULES[rule].advice}") for rule in rules)
    if report.troubles:
        yield f"<h2>{report.unread:,} could not be read</h2>"
        yield from _list((str(trouble.place), trouble.why) for trouble in report.troubles)
    if report.coverage:
        yield "<h2>Coverage</h2>"
        yield from (f'<p class="line">{escape(line)}</p>' for line in coverage(report))


def _table(caption: str, findings: list[Finding]) -> Iterator[str]:
    yield f"<table>\n<caption>{escape(caption)}</caption>\n<thead><tr>"
    yield "".join(f'<th scope="col">{name}</th>' for name in ("rule", "where", "what", "times", "first in"))
    yield "</tr></thead>\n<tbody>"
    for finding in findings:
        yield f"<tr><td>{finding.rule}</td><td><code>{escape(where_in_body(finding))}</code></td>"
        yield f"<td>{_what(finding)}</td>"
        yield f'<td class="number">{finding.count:,}</td><td>{escape(str(finding.place))}</td></tr>'
    yield "</tbody>\n</table>"


def _what(finding: Finding) -> str:
    fact, shown = finding.fact, example(finding)
    where = f"{fact.file}#{fact.pointer}" if fact.file else ""
    said = "; ".join(part for part in (how_sure(fact), where) if part)
    parts = (
        escape(finding.message),
        f"e.g. <code>{escape(shown)}</code>" if shown else "",
        f'<span class="soft">{escape(said)}</span>' if said else "",
    )
    return "<br>".join(part for part in parts if part)


def _list(items: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> Iterator[str]:
    yield "<ul>"
    for name, words in items:
        yield f"<li><code>{escape(name)}</code>: {escape(words)}</li>"
    yield "</ul>"
