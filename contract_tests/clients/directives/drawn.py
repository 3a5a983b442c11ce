"""Hypothesis strategies of directives, and of the scenarios that several of them make."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, HypothesisProvider
from hypothesis.strategies import SearchStrategy

from contract_tests.clients.directives.base import Directive, Family, lost_answers, rule, scenario_of
from contract_tests.clients.directives.menu import plain

MOST = 4
"""Directives of one scenario; few suffice: most failures need three events or fewer (Yuan et al., OSDI 2014)."""

_TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_TEXT, inner, max_size=2),
    max_leaves=4,
)
_SECONDS = st.integers(0, 90)
_NAMES = st.from_regex(r"[a-z]{1,8}_[a-z]{1,8}", fullmatch=True)
_KNOWN = frozenset({"SUCCESS", "FAILED", "PENDING_QUEUE", "ON_QUEUE"})


def directives(families: frozenset[Family] | None = None) -> SearchStrategy[Directive]:
    """
    Return a strategy of directives: those of the menu, and others with numbers and texts of their own.

    Args:
        families: only these; None for all.
    """
    wanted = frozenset(Family) if families is None else families
    drawn = [strategy for family, strategy in _with_parameters().items() if family in wanted]
    chosen = [directive for directive in plain() if directive.family in wanted]
    return st.one_of(st.sampled_from(chosen), *drawn) if chosen else st.nothing()


def scenarios() -> SearchStrategy[dict[str, Any]]:
    """Return a strategy of scenarios that fit `schemas/scenario.schema.json`, of up to four things that happen."""
    return together().map(scenario_of)


def together(families: frozenset[Family] | None = None, *, at_least: int = 0) -> SearchStrategy[tuple[Directive, ...]]:
    """Return a strategy of some directives at once; of these families, if they are said."""
    one = directives(families)
    return st.lists(one, min_size=at_least, max_size=MOST, unique_by=lambda made: made.name).map(tuple)


class Settled(HypothesisProvider):
    """Hypothesis's own, but for the numbers and texts that it finds in whatever modules happen to be loaded."""

    def _maybe_draw_constant(self, *_: Any, **__: Any) -> None:
        return None


AVAILABLE_PROVIDERS["fluxmock"] = f"{__name__}.{Settled.__name__}"


def drawn(families: frozenset[Family], count: int, luck: int) -> list[tuple[Directive, ...]]:
    """
    Return scenarios, no two alike; the same ones for the same arguments, whatever program this is part of.

    Args:
        families: of their directives.
        count: how many at most.
        luck: the seed.
    """

    @seed(luck)
    @settings(
        backend="fluxmock",
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(together(families, at_least=1))
    def draw(made: tuple[Directive, ...]) -> None:
        found.setdefault(tuple(directive.name for directive in made), made)

    found: dict[tuple[str, ...], tuple[Directive, ...]] = {}
    draw()
    return list(found.values())


def _with_parameters() -> dict[Family, SearchStrategy[Directive]]:
    first = st.integers(1, 5)
    busy = (st.sampled_from([429, 503]), st.integers(1, 60), first)
    return {
        Family.SLOW_JOB: st.builds(_slow_job, _SECONDS, _SECONDS),
        Family.UNKNOWN_STATUS: st.builds(_unknown_status, _TEXT.filter(lambda text: text not in _KNOWN), first),
        Family.FLAKY_FETCH: st.builds(_flaky, st.sampled_from(sorted(lost_answers())), st.integers(1, 3)),
        Family.BUSY_SUBMIT: st.builds(_busy, st.just("submit"), *busy),
        Family.BUSY_FETCH: st.builds(_busy, st.just("fetch"), *busy),
        Family.ODD_MESSAGE: st.builds(_message, _TEXT),
        Family.UNKNOWN_FIELDS: st.builds(_unknown_fields, st.dictionaries(_NAMES, _JSON, min_size=1, max_size=3)),
        Family.BODY_FORM: st.builds(_pieces, st.lists(st.integers(1, 60), min_size=1, max_size=4)),
    }


def _slow_job(queue: int, run: int) -> Directive:
    then = {"queue_seconds": queue, "run_seconds": run}
    return Directive(f"job: {queue} s in the queue, {run} s of work", Family.SLOW_JOB, ({"on": "job", "then": then},))


def _unknown_status(status: str, first: int) -> Directive:
    rules = (rule("fetch", {"first": first}, set={"/status": status}),)
    return Directive(f"fetch: status {status!r} for the first {first}", Family.UNKNOWN_STATUS, rules)


def _flaky(how: str, first: int) -> Directive:
    rules = (rule("fetch", {"first": first}, **lost_answers()[how]),)
    return Directive(f"fetch: {how} for the first {first}", Family.FLAKY_FETCH, rules)


def _busy(on: str, status: int, seconds: int, first: int) -> Directive:
    family = Family.BUSY_SUBMIT if on == "submit" else Family.BUSY_FETCH
    rules = (rule(on, {"first": first}, status=status, headers={"Retry-After": str(seconds)}),)
    return Directive(f"{on}: {status}, Retry-After: {seconds}, for the first {first}", family, rules, harmless=False)


def _message(text: str) -> Directive:
    rules = (rule("submit", None, set={"/message": text}), rule("fetch", None, set={"/message": text}))
    return Directive(f"answers: message is {text!r}", Family.ODD_MESSAGE, rules)


def _unknown_fields(fields: dict[str, Any]) -> Directive:
    changes = {f"{where}/{name}": value for where in ("", "/data") for name, value in fields.items()}
    rules = (rule("submit", None, set=changes), rule("fetch", None, set=changes))
    return Directive(f"answers: unknown fields {', '.join(fields)}", Family.UNKNOWN_FIELDS, rules)


def _pieces(sizes: list[int]) -> Directive:
    wire = {"chunks": sizes}
    rules = (rule("submit", None, wire=wire), rule("fetch", None, wire=wire))
    return Directive(f"answers: in chunks of {', '.join(map(str, sizes))}", Family.BODY_FORM, rules)
