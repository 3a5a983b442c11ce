"""
Writes the matrix of properties and clients as a page of the documentation. It takes half an hour.

    python tests/zoo/zoo_page.py > docs/zoo.md
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.process.check import check_command
from contract_tests.clients.properties.base import Property
from contract_tests.clients.verdict import Result, Verdict
from zoo.programs import PROGRAMS, SPEED, TIMEOUT, WORKERS, Program
from zoo.registry import Specimen, specimens

_SIGNS = {Result.PASS: ".", Result.FAIL: "X", Result.NOT_EXERCISED: " ", Result.UNSTABLE: "?"}

_INTRODUCTION = """\
# The zoo

Whether a kit that accuses clients is right can only be seen on clients of which one knows what is wrong with them. These
live in [tests/zoo](../tests/zoo): good ones, which nothing may be said against, and broken ones, each of which does one
thing wrong in the way that real code does. `fluxmock test-client` finds every fault with its default profile, and accuses
the good ones of nothing, which [tests](../tests/zoo/test_zoo.py) see to with every change. This page is written by
`python tests/zoo/zoo_page.py > docs/zoo.md`.
"""

_MATRIX = """
## The matrix

A row is a client, a column a property, by its number (`fluxmock properties` tells them). `X` is a fault that was found, `.` a
property that holds, and a blank one that this client gave no opportunity to see, as one that uploads nothing.
"""


def judged(client: Specimen | Program, plan: Plan | None = None) -> Verdict:
    """Return the verdict on a client, by default with the default profile."""
    if isinstance(client, Program):
        return check_command(client.argv, plan=plan, speed=SPEED, timeout=TIMEOUT, workers=WORKERS)
    return check_client(client.client, plan=plan, receiver=client.receiver)


def row(client: Specimen | Program, verdict: Verdict) -> str:
    """Return the row of a client in the matrix."""
    return client.name.ljust(_width()) + "".join(_SIGNS[one.result] for one in verdict.results).rstrip()


def failing(rows: Mapping[str, str], client: Specimen | Program) -> set[str]:
    """Return the ids of the properties that a client fails, as its row in the matrix says."""
    signs = rows[client.name][_width() :]
    return {one.id for one, sign in zip(Plan().chosen(), signs, strict=False) if sign == _SIGNS[Result.FAIL]}


def page(rows: Mapping[str, str]) -> str:
    """
    Return the page.

    Args:
        rows: of the matrix, by the names of the clients; see `row`.
    """
    clients = specimens()
    names = Plan().chosen()
    matrix = [*_head(names), *(rows[client.name] for client in (*clients, *PROGRAMS))]
    good = [client for client in clients if not client.about]
    broken = [client for client in clients if client.about]
    return "\n".join(
        [
            _INTRODUCTION,
            f"There are {len(good)} good clients and {len(broken)} broken ones in Python, on {_count(clients)} stacks, and "
            f"{len(PROGRAMS)} programs.",
            _MATRIX,
            "```text",
            *matrix,
            "```",
            "",
            "## Good ones",
            "",
            *_table(["client", "stack", "what it does"], [[one.name, one.stack, one.story] for one in good]),
            "",
            "## Broken ones",
            "",
            "What it is about comes first; what else MUST hold and does not has its reason beside it.",
            "",
            *_table(
                ["client", "stack", "what it does wrong", "breaks"],
                [[one.name, one.stack, one.story, _breaks(one, names)] for one in broken],
            ),
            "",
            "## In other languages",
            "",
            "These run as commands, on real sockets, five times as fast as they say.",
            "",
            *_table(
                ["client", "stack", "what it does, or does wrong", "breaks"],
                [[f"`{one.name}`", one.stack, one.story, one.about and _breaks(one, names)] for one in PROGRAMS],
            ),
            "",
        ]
    )


def rows_of(text: str) -> dict[str, str]:
    """Return the rows of the matrix in a page, by the names of the clients."""
    block = text.partition("```text\n")[2].partition("```")[0]
    return {line.split(" ", 1)[0]: line for line in block.splitlines()[2:]}


def _width() -> int:
    return max(len(client.name) for client in (*specimens(), *PROGRAMS)) + 1


def _head(chosen: Sequence[Property]) -> list[str]:
    return [" " * _width() + "".join(one.id[digit] for one in chosen) for digit in (1, 2)]


def _count(clients: Sequence[Specimen]) -> int:
    return len({client.stack for client in clients})


def _breaks(client: Specimen | Program, chosen: Sequence[Property]) -> str:
    level = next(one.level for one in chosen if one.id == client.about)
    also = "".join(f"; {name}: {why}" for name, why in sorted(client.also.items()))
    return f"**{client.about}** ({level}){also}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)]


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    found = {}
    for client in (*specimens(), *PROGRAMS):
        print(client.name, file=sys.stderr)
        found[client.name] = row(client, judged(client))
    sys.stdout.write(page(found))
