"""`check(path)`: a recording held against the contract, in one call."""

from __future__ import annotations

from pathlib import Path

from contract_tests import readers
from contract_tests.checker import Checker, Report
from contract_tests.exchanges import Endpoint
from contract_tests.findings import Policy


def check(
    path: str | Path, *, contract: str | None = None, endpoint: Endpoint | None = None, policy: Policy | None = None
) -> Report:
    """
    Hold a recording against the contract, as `fluxmock check` does; what comes of it is without secrets that were sent.

    Args:
        path: a file or a folder; see `contract_tests.readers`.
        contract: version to hold it against; None finds out for each host.
        endpoint: what a file with a single JSON body is an answer of.
        policy: severities other than the rules' own.

    Raises:
        Unreadable: nothing in it can be read.
        ValueError: there is no such version.
    """
    checker = Checker(contract, policy)
    checker.feed(readers.read(str(path), endpoint=endpoint))
    return checker.report()
