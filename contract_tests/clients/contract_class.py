"""`ClientContract`: a class of tests for pytest, one for each property of clients."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, ClassVar, cast

import pytest

from contract_tests.clients.check import Plan, check_client
from contract_tests.clients.given import PythonClient
from contract_tests.clients.properties.base import Level, Property, properties
from contract_tests.clients.reports import Context
from contract_tests.clients.reports.card import failure
from contract_tests.clients.reports.wording import headline, state, why_not
from contract_tests.clients.verdict import Exit, Result, Verdict
from mock_server.hooks.apps import App

_WIDTH = 100


class ClientContract:
    """
    Derive from it, and pytest has a test for each property of clients, all from one exploration.

        class TestMyClient(ClientContract):
            client = staticmethod(generate)

    A property that was not exercised, and one that the plan leaves out, is skipped; one that is no MUST and does not
    hold is an expected failure, unless `strict`. Each worker of pytest-xdist explores for itself, and comes to the
    same; `--dist loadscope` keeps a class on one.

    Attributes:
        client: the client, as `check_client` takes it.
        receiver: its receiver of webhooks, a WSGI or ASGI application.
        plan: what to look for, and how long.
        strict: whether all levels fail a test, not only MUST.
    """

    client: ClassVar[PythonClient]
    receiver: ClassVar[App | None] = None
    plan: ClassVar[Plan] = Plan()
    strict: ClassVar[bool] = False

    _explored: ClassVar[Verdict | Exception | None] = None

    @classmethod
    def verdict(cls) -> Verdict:
        """Return the verdict on the client; it is explored in the first test that asks."""
        if "_explored" not in vars(cls):
            try:
                cls._explored = check_client(_client_of(cls), plan=cls.plan, receiver=_plain(cls, "receiver"))
            except Exception as error:  # noqa: BLE001 - every test of the class has to tell it
                cls._explored = error
        explored = cls._explored
        if isinstance(explored, Exception):
            raise explored
        return cast("Verdict", explored)

    def test_the_client_calls_the_api(self) -> None:
        """A client that never calls is not known to be good, nor is one of which nothing was seen."""
        verdict = self.verdict()
        if verdict.exit_code is Exit.UNKNOWN:
            pytest.fail(headline(verdict, _context(type(self))), pytrace=False)

    def test_the_client_works_when_all_goes_well(self) -> None:
        """A client that has no image even then is not known to be good, whatever it does about troubles."""
        works = self.verdict().works
        if works is not None and works.result is Result.FAIL:
            pytest.fail(failure(works, _context(type(self))), pytrace=False)


def _client_of(cls: type[ClientContract]) -> PythonClient:
    client = _plain(cls, "client")
    if client is None:
        raise TypeError(f"{cls.__name__}: expected `client = staticmethod(generate)`, got no client")
    try:
        first = next(iter(inspect.signature(client).parameters), "")
    except (TypeError, ValueError):
        first = ""
    # A method that was written in the class is called as one.
    return cast("PythonClient", getattr(cls(), "client") if first == "self" else client)  # noqa: B009


def _plain(cls: type[ClientContract], name: str) -> Any:
    """Return an attribute as it was given: what can be called is no method of the class."""
    return getattr(cls, name, None)


def _context(cls: type[ClientContract]) -> Context:
    name = getattr(_plain(cls, "client"), "__qualname__", cls.__name__)
    return Context(client=name, contract=cls.plan.contract, seed=cls.plan.seed, width=_WIDTH)


def _test_of(one: Property) -> Callable[[ClientContract], None]:
    def test(self: ClientContract) -> None:
        cls = type(self)
        if one.id not in {chosen.id for chosen in cls.plan.chosen()}:
            pytest.skip(_left_out(one, cls.plan))
        result = self.verdict()[one.id]
        match result.result:
            case Result.NOT_EXERCISED:
                pytest.skip(f"{state(result)}: {why_not(result, self.verdict())}")
            case Result.UNSTABLE:
                pytest.xfail(f"{state(result)}: {result.why}")
            case Result.FAIL:
                told = failure(result, _context(cls))
                if one.level is Level.MUST or cls.strict:
                    pytest.fail(told, pytrace=False)
                pytest.xfail(told)

    test.__doc__ = one.texts["Invariant"]
    return test


def _left_out(one: Property, plan: Plan) -> str:
    if one.id in plan.skip:
        return "the plan skips it"
    if plan.only:
        return "the plan is about others"
    return "POLICY: off until its value is declared, as in Plan(policy=Policy(...))"


for _one in properties().values():
    _name = re.sub(r"[^a-z0-9]+", "_", _one.title.lower()).strip("_")
    setattr(ClientContract, f"test_{_one.id}_{_name}", _test_of(_one))
