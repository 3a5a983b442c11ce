"""
The contract-testing kit: checks of recorded traffic and of single answers against the contract.

`check(path)` holds a recording against it, `validate(exchange)` one exchange, and `assert_matches_contract(response)`
fails a test whose answer does not fit. `check_client(callable)` finds out what a client of the API does wrong,
`check_command(argv)` the same of a client in any language, and `ClientContract` is a class of tests for a callable.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contract_tests.asserting import assert_matches_contract, validate
    from contract_tests.checker import Checker, Report
    from contract_tests.checking import check
    from contract_tests.clients.check import Plan, check_client
    from contract_tests.clients.contract_class import ClientContract
    from contract_tests.clients.process.check import Running, check_command
    from contract_tests.clients.process.replaying import replay_command
    from contract_tests.clients.properties.base import Policy
    from contract_tests.clients.replaying import replay
    from contract_tests.clients.verdict import Verdict
    from contract_tests.findings import Finding, Severity

_HOMES = {
    "Checker": "checker",
    "ClientContract": "clients.contract_class",
    "Finding": "findings",
    "Plan": "clients.check",
    "Policy": "clients.properties.base",
    "Report": "checker",
    "Running": "clients.process.check",
    "Severity": "findings",
    "Verdict": "clients.verdict",
    "assert_matches_contract": "asserting",
    "check": "checking",
    "check_client": "clients.check",
    "check_command": "clients.process.check",
    "replay": "clients.replaying",
    "replay_command": "clients.process.replaying",
    "validate": "asserting",
}

__all__ = [
    "Checker",
    "ClientContract",
    "Finding",
    "Plan",
    "Policy",
    "Report",
    "Running",
    "Severity",
    "Verdict",
    "assert_matches_contract",
    "check",
    "check_client",
    "check_command",
    "replay",
    "replay_command",
    "validate",
]


def __getattr__(name: str) -> Any:
    # Who only asserts something about one answer need not wait for the readers of recordings.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
