"""
Writes the table of faults as a page of the documentation.

    python tests/faults/fault_page.py > docs/faults.md
"""

from __future__ import annotations

import re
import sys
from typing import Any

import yaml
from fault_model import CLIENTS, Fault, Seen
from fault_table import GROUPS

INTRODUCTION = """\
# Faults, as clients see them

What requests, httpx, aiohttp, urllib and Node's fetch make of each fault that fluxmock can play. Every cell is a
[test](../tests/faults/test_faults.py); this page is written by `python tests/faults/fault_page.py > docs/faults.md`.

Put a rule into a scenario file, and serve with `--scenario FILE`:

```yaml
name: my-trouble
rules:
  - {on: submit, then: {wire: {silent: true, end: reset}}}
```

A test gives `tenant.scenario({"name": "my-trouble", "rules": [...]})` the same as data. `calls: 1` in a rule confines it
to the first call; what else a rule can say is in the [schema](../schemas/scenario.schema.json), and whole scenarios are
in [fixtures](../fixtures/scenarios).

## What to remember

- **A submission whose answer is lost may have been charged**, and nothing that a client gets tells. No client here
  repeats a POST by itself; whoever repeats it may pay twice. A fetch can be repeated freely.
- aiohttp repeats a GET once when its connection breaks, on new connections, too. The others repeat nothing.
- requests raises `ConnectionError`, not `Timeout`, when the time limit strikes in the middle of a body.
- requests over urllib3 1.26, which it still accepts, does not notice that a body is shorter than its `Content-Length`.
- Node 18 and 20 take chunks that break off for a whole body; only the JSON is broken then.
- After a `Content-Length` that is too small, httpx fails in the *next* call on the connection, and that call was
  carried out and charged.
- `json()` of aiohttp is `None` for an empty body. requests and fetch put U+FFFD where a character cannot be read.
- Whoever follows a redirect takes `TT-API-KEY` along, to whatever origin. httpx follows none by itself; urllib follows
  no 307 to a POST.

## How to read the tables

Each client reads the answer as JSON. *value* is what it gets without the fault. Otherwise there is the exception, or
what is different in the JSON; before it stands the status unless it is 200. With several calls on one session, their
outcomes stand one after the other. Outcomes with *or* depend on the version of the client. *arrived* is the number of
requests at the server, with the clients that made more of them; *jobs* is how many were made of them, and charged.

Tested with requests 2.32 and 2.34, httpx 0.27 and 0.28, aiohttp 3.11 and 3.14, and Node 18, 20 and 22, all as they are
by default but for the time limit.
"""


def page() -> str:
    """Return the page in Markdown."""
    return INTRODUCTION + "".join(_group(title, faults) for title, faults in GROUPS.items())


def _group(title: str, faults: tuple[Fault, ...]) -> str:
    header = ["fault", *CLIENTS, "arrived", "jobs"]
    rows = [[fault.name, *map(_cell, fault.seen.values()), _arrived(fault), _jobs(fault)] for fault in faults]
    table = [header, ["---"] * len(header), *rows]
    lines = [f"| {' | '.join(row)} |" for row in table]
    rules = [f"# {fault.name.replace('`', '')}\n- {_flow(fault.rule)}" for fault in faults]
    return "\n".join(["", f"## {title}", "", *lines, "", "```yaml", *rules, "```", ""])


def _cell(seen: Seen) -> str:
    text = " or ".join("; ".join(map(_words, outcome.split("; "))) for outcome in seen.outcomes)
    if seen.key is not None:
        text += " (the key goes along)" if seen.key else " (without the key)"
    return text


def _arrived(fault: Fault) -> str:
    more = [f"{client} {seen.requests}" for client, seen in fault.seen.items() if seen.requests]
    return ", ".join([str(len(fault.calls)), *more])


def _jobs(fault: Fault) -> str:
    submissions = fault.calls.count("submit")
    return str(submissions * fault.charged) if submissions else ""


def _words(outcome: str) -> str:
    status, comma, rest = outcome.partition(", ") if re.match(r"\d{3}, ", outcome) else ("", "", outcome)
    if status and rest.startswith("{"):
        return f"{status} and its JSON"
    if rest == "value" or rest.startswith("no "):
        return status + comma + rest
    return f"{status}{comma}`{rest.replace('*', '…')}`"


def _flow(rule: dict[str, Any]) -> str:
    text = yaml.safe_dump(rule, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000).strip()
    return text.replace("'on':", "on:")  # quoted for readers of YAML 1.1, of which ours is none


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(page())
