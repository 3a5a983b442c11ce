"""html: one page that needs nothing else, with a swim-lane of each failure."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from contract_tests.clients.lanes import rows_of_story, start_of
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
from contract_tests.clients.story import Story
from contract_tests.clients.verdict import Exit, PropertyResult, Result, Verdict
from contract_tests.reports.masking import encodable, shown
from contract_tests.reports.page import document
from mock_server.testing.rows import CLIENT, OTHERS, Row

_STYLE = """
.fail { color: var(--error); } .unstable { color: var(--warning); } .pass { color: var(--clean); }
.not_exercised { color: var(--soft); }
section { border-top: 2px solid var(--line); margin-top: 2rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { font-weight: 600; }
dd { margin: 0; overflow-wrap: anywhere; }
.lanes { overflow-x: auto; } .lanes table { font-size: .85rem; } .lanes td, .lanes th { border-left: 1px dotted
  var(--line); padding-left: .5rem; }
.lanes td.clock { font-family: ui-monospace, monospace; text-align: right; white-space: nowrap; border-left: 0; }
.lanes td.PENDING_QUEUE { background: color-mix(in srgb, var(--warning) 12%, transparent); }
.lanes td.ON_QUEUE { background: color-mix(in srgb, var(--info) 15%, transparent); }
.lanes td.SUCCESS { background: color-mix(in srgb, var(--clean) 18%, transparent); }
.lanes td.FAILED { background: color-mix(in srgb, var(--error) 18%, transparent); }
.lanes .note { display: block; color: var(--soft); }
"""
_MOST_ROWS = 200
_MOST_MET = 40


def render(verdict: Verdict, context: Context) -> str:
    """Return the verdict as one page; whatever it is written in, character references keep it true."""
    return document(f"Verdict on {_clean(context.client)}", _body(verdict, context), _STYLE)


def _body(verdict: Verdict, context: Context) -> Iterator[str]:
    colour = "clean" if verdict.exit_code is Exit.OK else "failed"
    yield f'<h1 class="{colour}">{_text(headline(verdict, context))}</h1>'
    yield f'<p class="soft">{_text(amount(verdict, context))}</p>'
    results = ordered(verdict)
    yield "<table>\n<caption>Properties</caption>\n<thead><tr>"
    yield "".join(f'<th scope="col">{name}</th>' for name in ("id", "property", "level", "result", "what"))
    yield "</tr></thead>\n<tbody>"
    yield from (_row(result, verdict) for result in results)
    yield "</tbody>\n</table>"
    for result in results:
        if is_broken(result):
            yield from _failure(result, context)
    met = list(met_lines(verdict, _MOST_MET))
    if met:
        yield "<section>\n<h2>What this client met</h2>\n<dl>"
        yield from (f"<dt>{_text(kind)}</dt><dd>{_text(what)}</dd>" for kind, what in met)
        yield "</dl>\n</section>"


def _row(result: PropertyResult, verdict: Verdict) -> str:
    one = result.property
    unseen = why_not(result, verdict) if result.result is Result.NOT_EXERCISED else ""
    what = result.why if is_broken(result) else unseen
    id_ = f'<a href="#{one.id}">{one.id}</a>' if is_broken(result) else one.id
    return (
        f"<tr><td>{id_}</td><td>{_text(one.title)}</td><td>{one.level}</td>"
        f'<td class="{result.result}">{_text(state(result))}</td><td>{_text(what)}</td></tr>'
    )


def _failure(result: PropertyResult, context: Context) -> Iterator[str]:
    one = result.property
    yield f'<section id="{one.id}">\n<h2 class="{result.result}">{one.id}: {_text(one.title)} ({one.level})</h2>\n<dl>'
    parts = {
        "The client": result.why,
        "Money": billed(result.bills),
        "Scenario": scenario_line(result),
        "Fix": one.fix,
        "Why": one.texts.get("Invariant", ""),
        "Source": one.texts.get("Source", ""),
    }
    yield from (f"<dt>{name}</dt><dd>{_text(words)}</dd>" for name, words in parts.items() if words)
    command = again(result, context)
    if command:
        yield f"<dt>Again</dt><dd><code>{_text(command)}</code></dd>"
    yield "</dl>"
    if result.story is not None:
        yield from _lanes(result.story)
    yield "</section>"


def _lanes(story: Story) -> Iterator[str]:
    """Yield a table with a column for each lane; a cell of a job has the colour of its state."""
    rows, start = rows_of_story(story), start_of(story)
    jobs = [f"job {job.number}" for job in story.jobs]
    names = [CLIENT, *jobs, *([OTHERS] if any(row.lane == OTHERS for row in rows) else [])]
    yield '<div class="lanes">\n<table>\n<caption>How it went, in the client\'s time</caption>\n<thead><tr>'
    heads = ["clock", *("hooks" if name == OTHERS else name for name in names)]
    yield "".join(f'<th scope="col">{_text(name)}</th>' for name in heads) + "</tr></thead>\n<tbody>"
    states = dict.fromkeys(jobs, "")
    for row in rows[:_MOST_ROWS]:
        if row.lane in states:
            states[row.lane] = row.text.partition(" ")[0]
        cells = "".join(
            f'<td class="{_text(states.get(name, ""))}">{_cell(row, start) if name == row.lane else ""}</td>'
            for name in names
        )
        yield f'<tr><td class="clock">{row.at - start:+.3f} s</td>{cells}</tr>'
    if len(rows) > _MOST_ROWS:
        yield f'<tr><td colspan="{len(names) + 1}">… {len(rows) - _MOST_ROWS:,} rows left out …</td></tr>'
    yield "</tbody>\n</table>\n</div>"


def _cell(row: Row, start: float) -> str:
    count = f" × {row.count:,}" if row.count > 1 else ""
    until = f" … {row.last - start:+.3f} s" if row.last is not None and row.last != row.at else ""
    notes = "".join(f'<span class="note">{_text(note)}</span>' for note in row.notes)
    return f"{_text(row.text)}{count}{until}{notes}"


def _text(text: str) -> str:
    return escape(_clean(text))


def _clean(text: str) -> str:
    return encodable(shown(text))
