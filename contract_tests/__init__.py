"""
The contract-testing kit: checks of recorded traffic and of single answers against the contract.

`check(path)` holds a recording against it, `validate(exchange)` one exchange, and `assert_matches_contract(response)`
fails a test whose answer does not fit.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contract_tests.asserting import assert_matches_contract, validate
    from contract_tests.checker import Checker, Report
    from contract_tests.checking import check
    from contract_tests.findings import Finding, Severity

_HOMES = {
    "Checker": "checker",
    "Finding": "findings",
    "Report": "checker",
    "Severity": "findings",
    "assert_matches_contract": "asserting",
    "check": "checking",
    "validate": "asserting",
}

__all__ = ["Checker", "Finding", "Report", "Severity", "assert_matches_contract", "check", "validate"]


def __getattr__(name: str) -> Any:
    # Who only asserts something about one answer need not wait for the readers of recordings.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
