"""What every report on a client is made for: whose verdict it is, and how to see it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path

from contract_tests.clients.named import ALL_WENT_WELL, word_of
from contract_tests.clients.properties.base import Level
from contract_tests.clients.properties.works import WORKS
from contract_tests.clients.verdict import PropertyResult, Result, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """
    Whom a report is for, and what the verdict is on.

    Args:
        client: the client, as it was named.
        contract: version of the contract that the API spoke.
        seed: of the exploration.
        command: words that explore it again, without the properties.
        saved: files of scenarios that were written, by the id of the property.
        options: that a replay of one of these needs.
        width: columns that a line of text may take.
        colour: whether text may hold ANSI colours.
        encoding: what the report will be written in; what it cannot express is escaped.
        timelines: how many timelines of failures text shows; None is all.
    """

    client: str = "the client"
    contract: str = ""
    seed: int = 0
    command: tuple[str, ...] = ()
    saved: Mapping[str, Path] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    width: int = 80
    colour: bool = False
    encoding: str = "utf-8"
    timelines: int | None = 1


_LEVELS = list(Level)
_RESULTS = [Result.FAIL, Result.UNSTABLE, Result.NOT_EXERCISED, Result.PASS]


def ordered(verdict: Verdict) -> list[PropertyResult]:
    """
    Return the results, the worst first: those that bill an image again lead, then by level and id.

    That the client does not work at all comes before them; that it does is no line of its own.
    """
    works = [verdict.works] if verdict.works is not None and is_broken(verdict.works) else []
    return [*works, *sorted(verdict.results, key=_rank)]


def _rank(result: PropertyResult) -> tuple[int, int, bool, str]:
    one = result.property
    return (_RESULTS.index(result.result), _LEVELS.index(one.level), not result.bills, one.id)


def is_broken(result: PropertyResult) -> bool:
    """Whether a failure was seen, be it once."""
    return result.result in {Result.FAIL, Result.UNSTABLE}


def again(result: PropertyResult, context: Context) -> str:
    """Return the command that shows a failure again; empty where nobody knows one, as in a test."""
    saved = context.saved.get(result.property.id)
    if not context.command:
        return ""
    if saved is not None and _is_callable(context):
        return shlex.join(["fluxmock", "replay", str(saved), context.client, *context.options])
    head, tail = _split(context.command)
    words = () if result.story is None else tuple(map(word_of, result.story.directives)) or (ALL_WENT_WELL,)
    played = chain.from_iterable(("--play", word) for word in words)
    wanted = [] if result.property.id == WORKS.id else ["--property", result.property.id]
    return shlex.join([*(_without(head, "--profile", "--examples") if words else head), *wanted, *played, *tail])


def _split(command: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the words before and from the `--` with which a client's own command begins."""
    at = command.index("--") if "--" in command else len(command)
    return command[:at], command[at:]


def _without(words: tuple[str, ...], *options: str) -> list[str]:
    """Return the words but for options, and the values that follow them."""
    return [word for before, word in pairwise(("", *words)) if word not in options and before not in options]


def _is_callable(context: Context) -> bool:
    return "--" not in context.command
