"""What a property of clients is, and where all of them are found."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

from contract_tests.clients.directives.base import Family
from contract_tests.clients.story import Ending, Outcome, Story


class Level(StrEnum):
    """How much a property counts."""

    MUST = "MUST"
    """A client that breaks it fails."""
    SHOULD = "SHOULD"
    """A client that breaks it is warned."""
    POLICY = "POLICY"
    """Off until its value is declared."""


class Need(StrEnum):
    """What a property cannot be judged without."""

    HOOKS = "hooks"
    """A client that takes webhooks."""
    EDITS = "edits"
    """A client that uploads."""
    DOWNLOADS = "downloads"
    """A client that gets the image itself."""


@dataclass(frozen=True)
class Policy:
    """
    What a user has declared about the client; times are seconds.

    Args:
        deadline: by when it must have given up, or be done.
        min_gap: least time between two fetches of a job.
        max_attempts: how often it may send a request that was refused for now.
        max_wait: longest time that it may wait because a server said so.
        stall: by when it must give up on an answer that does not come.
        grace: how long a job that was just made may be unknown to fetches.
        resubmit: whether it may order again after an answer got lost, as with an idempotency key.
        idempotency_header: header that makes two submissions the same one.
        max_in_flight: jobs that it may have under way at once; None is as many as it likes.
        hook_seconds: how long its receiver may take to answer.

    Raises:
        ValueError: a value is one that no client could keep to, such as a deadline of 0.
    """

    deadline: float = 900.0
    min_gap: float = 1.0
    max_attempts: int = 6
    max_wait: float = 600.0
    stall: float = 330.0
    grace: float = 30.0
    resubmit: bool = False
    idempotency_header: str = ""
    max_in_flight: int | None = field(default=None, metadata={"turns_on": "C07"})
    hook_seconds: float = 5.0

    def __post_init__(self) -> None:
        """Raise ValueError for a value that no client could keep to."""
        for name in ("deadline", "stall", "hook_seconds"):
            self._expect(name, "above 0", lambda value: 0 < value < math.inf)
        for name in ("min_gap", "max_wait", "grace"):
            self._expect(name, "0 or more", lambda value: 0 <= value < math.inf)
        for name in ("max_attempts", "max_in_flight"):
            self._expect(name, "1 or more", lambda value: value >= 1)

    def _expect(self, name: str, words: str, fits: Callable[[float], bool]) -> None:
        value = getattr(self, name)
        if value is not None and not fits(value):
            raise ValueError(f"{name}: expected {words}, got {value!r}")

    @property
    def patience(self) -> float:
        """Virtual seconds after which a client is taken to be one that never ends."""
        return self.deadline + 60.0


class Grade(StrEnum):
    """What a story says of a property."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    NOT_EXERCISED = "not exercised"


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    What a story says of a property.

    Args:
        grade: the verdict.
        why: what the client did, in one line, if it failed.
        bills: how often one image was paid for, if more than once.
    """

    grade: Grade
    why: str = ""
    bills: int = 0


PASSED = Judgement(Grade.PASS)
NOT_EXERCISED = Judgement(Grade.NOT_EXERCISED)


def failed(why: str, bills: int = 0) -> Judgement:
    """Return that the client failed, and why."""
    return Judgement(Grade.FAIL, why, bills)


def verdict(condition: object, why: str) -> Judgement:
    """Return a pass if `condition` holds, else a failure."""
    return PASSED if condition else failed(why)


def once_more(count: int) -> str:
    """Return how often something was done again, in words."""
    return "once more" if count == 1 else f"{count} more times"


def overstayed(outcome: Outcome, policy: Policy) -> str | None:
    """Return in words that a client did not end by the deadline; "" if it did, None if nobody knows."""
    if outcome.ending is not Ending.HUNG and outcome.at <= policy.deadline:
        return ""
    if not outcome.overran or outcome.at >= policy.deadline:
        return f"it was still there after {policy.deadline:g} s"
    return f"it called on and on for {outcome.at:.3g} s, and was ended" if outcome.at < _A_WHILE else None


Judge = Callable[[Story, Policy], Judgement]

_A_WHILE = 60.0
# Seconds: who sends thousands of requests in less does not wait between them, and has no limit that would end it.

UNSEEN = "what it is about never happened"
"""What is said of a property that was not exercised, if it has no words of its own for that."""


@dataclass(frozen=True)
class Property:
    """
    One invariant of clients.

    Args:
        id: C01 to C56.
        title: in a few words.
        level: how much it counts.
        families: directives that exercise it; () when any scenario does.
        judge: says what a story shows.
        needs: what it cannot be judged without.
        timing: whether it is about times, so that on a real clock a failure has to be seen three times.
        texts: of its documentation: invariant, observed, source, bug, fix.
        unseen: what did not happen where it was not exercised, in words that follow a colon.
    """

    id: str
    title: str
    level: Level
    families: frozenset[Family]
    judge: Judge
    needs: frozenset[Need] = frozenset()
    timing: bool = False
    texts: Mapping[str, str] = field(default_factory=dict)
    unseen: str = UNSEEN

    @property
    def fix(self) -> str:
        """The usual way to mend a client, in one line."""
        return self.texts["Fix"]

    @property
    def declaration(self) -> str:
        """The field of `Policy` without which it is off; empty for one that is always on."""
        return next((one.name for one in fields(Policy) if one.metadata.get("turns_on") == self.id), "")

    def on(self, policy: Policy) -> bool:
        """Return whether it can be judged by what is declared."""
        return not self.declaration or getattr(policy, self.declaration) is not None


@dataclass(frozen=True)
class Unjudged:
    """
    An invariant of clients that is known, and that no run shows.

    Args:
        id: of C01 to C56.
        title: in a few words.
        level: how much it would count.
        reason: why it is not judged.
    """

    id: str
    title: str
    level: Level
    reason: str


def explorable(chosen: Iterable[Property], *, hooks: bool, edits: bool) -> list[Property]:
    """
    Return what an exploration judges: whether the client works at all, and properties, those that cannot be judged
    without their families, so that nothing is played in vain.

    Args:
        chosen: the properties.
        hooks: whether the client takes webhooks.
        edits: whether it uploads.
    """
    from contract_tests.clients.properties.works import WORKS

    missing = {need for need, met in ((Need.HOOKS, hooks), (Need.EDITS, edits)) if not met}
    return [WORKS, *(replace(one, families=frozenset()) if one.needs & missing else one for one in chosen)]


_PROPERTIES: dict[str, Property] = {}
PARTS = ("Invariant", "Observed", "Source", "Usual bug", "Fix")
"""What a docstring says of a property."""


def prop(
    id_: str,
    title: str,
    level: Level,
    *families: Family,
    needs: Iterable[Need] = (),
    timing: bool = False,
    unseen: str = UNSEEN,
) -> Callable[[Judge], Judge]:
    """
    Register a function that judges as a property.

    Its docstring has a paragraph each that begins with "Invariant:", "Observed:", "Source:", "Usual bug:" and "Fix:".
    """

    def register(judge: Judge) -> Judge:
        if id_ in _PROPERTIES:
            raise ValueError(f"{id_}: there are two properties of that id")
        texts = _read(inspect.getdoc(judge) or "")
        missing = [part for part in PARTS if part not in texts]
        if missing:
            raise ValueError(f"{id_}: the docstring lacks {', '.join(missing)}")
        _PROPERTIES[id_] = Property(
            id_, title, level, frozenset(families), judge, frozenset(needs), timing, texts, unseen
        )
        return judge

    return register


def _read(doc: str) -> dict[str, str]:
    texts: dict[str, str] = {}
    part = ""
    for line in doc.splitlines():
        name, colon, rest = line.partition(":")
        if colon and name in PARTS:
            part, line = name, rest  # noqa: PLW2901
        if part:
            texts[part] = f"{texts.get(part, '')} {line.strip()}".strip()
    return texts


def properties() -> dict[str, Property]:
    """Return all properties by id, in order."""
    from contract_tests.clients.properties import (  # noqa: F401  they register themselves
        downloads,
        encoding,
        hooks,
        limits,
        polling,
        reading,
        secrets,
        submitting,
        uploads,
    )

    return dict(sorted(_PROPERTIES.items()))


_NOT_JUDGED = (
    Unjudged(
        "C23",
        "clients that start together spread their retries",
        Level.POLICY,
        "it takes several instances that are refused at the same moment, and a run is of one client",
    ),
    Unjudged(
        "C56",
        "a client that is killed goes on with its job when it is started again",
        Level.POLICY,
        "it takes killing it and starting it again with what it had saved, and a run ends when the client does",
    ),
)


def unjudged() -> dict[str, Unjudged]:
    """Return by id, in order, what is known of clients and not judged."""
    return {one.id: one for one in _NOT_JUDGED}


def known(ids: Iterable[str]) -> list[Property | Unjudged]:
    """
    Return what has these ids, judged or not, each once and in order.

    Raises:
        ValueError: there is no such property; the text says which one may have been meant.
    """
    there: dict[str, Property | Unjudged] = {**properties(), **unjudged()}
    wanted = sorted(set(ids))
    for id_ in wanted:
        if id_ in there:
            continue
        padded = re.fullmatch(r"[Cc]?0*(\d{1,2})", id_)
        meant = f"C{int(padded[1]):02}" if padded else ""
        guess = f"did you mean {meant}? " if meant in there else ""
        raise ValueError(
            f"expected the id of a property, got {id_!r}; {guess}`fluxmock properties` lists all {len(there)}"
        )
    return [there[id_] for id_ in wanted]


def named(ids: Iterable[str]) -> list[Property]:
    """
    Return the properties of these ids, each once and in order.

    Raises:
        ValueError: there is no such property, or it is not judged; the text says what may have been meant, or why.
    """
    chosen = []
    for one in known(ids):
        if isinstance(one, Unjudged):
            raise ValueError(f"{one.id} ({one.title}) is known, but not judged: {one.reason}")
        chosen.append(one)
    return chosen
