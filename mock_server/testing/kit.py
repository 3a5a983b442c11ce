"""What pytest gets from the contract-testing kit: a fixture that asserts that an answer fits the contract.

The emulator does not need the kit, and a user may have a folder that hides it; so it is found by an entry point, and
not before a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

_GROUP, _NAME = "fluxmock.assertions", "assert_matches_contract"


@pytest.fixture(scope="session")
def assert_matches_contract() -> Callable[..., None]:
    """
    Give the assertion that an answer, or the body of one, is as the contract says.

    Call it with a response of requests or httpx, or with a body and `endpoint="fetch"` or the like; `version` fixes the
    version of the contract.
    """
    from importlib.metadata import entry_points

    found = next(iter(entry_points(group=_GROUP, name=_NAME)), None)
    if found is None:
        pytest.fail("this installation has no contract-testing kit: reinstall fluxmock", pytrace=False)
    try:
        loaded: Callable[..., None] = found.load()
    except ImportError as error:
        pytest.fail(
            f"cannot import the contract-testing kit: {error}; is there a folder of that name here?", pytrace=False
        )
    return loaded
