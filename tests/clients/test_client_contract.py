"""`ClientContract`: a class of tests for pytest, one for each property, from one exploration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

import contract_tests
from contract_tests.clients.properties.base import properties

SAMPLES = (Path(__file__).resolve().parent / "samples.py").read_text("utf-8")
QUIET = ("-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio")
CLASS = """\
from samples import *
from contract_tests import ClientContract, Plan, Policy

class TestMyClient(ClientContract):
    client = {client}
    plan = Plan(examples={examples}, only={only}{more})
{extra}
"""


def run(
    folder: Path,
    *arguments: str,
    client: str = "staticmethod(naive)",
    only: tuple[str, ...] = ("C02", "C18", "C30", "C49"),
    examples: int = 12,
    more: str = "",
    extra: str = "",
) -> tuple[dict[str, tuple[str, str]], str]:
    """Return, by name of the test, how it ended and what was said, and the output of pytest."""
    (folder / "samples.py").write_text(SAMPLES, "utf-8")
    source = CLASS.format(client=client, only=only, examples=examples, more=more, extra=extra)
    (folder / "test_mine.py").write_text(source, "utf-8")
    report = folder / "report.xml"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *QUIET, f"--junit-xml={report}", *arguments],
        cwd=folder,
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    cases = ET.parse(report).getroot().iter("testcase")  # noqa: S314 - pytest wrote it
    ended = {}
    for case in cases:
        child = next((one for one in case if one.tag in {"failure", "error", "skipped"}), None)
        told = "" if child is None else f"{child.get('type')} {child.get('message')} {child.text}"
        ended[str(case.get("name"))] = ("passed" if child is None else child.tag, told)
    return ended, done.stdout


def of(ended: dict[str, tuple[str, str]], id_: str) -> tuple[str, str]:
    (found,) = [value for name, value in ended.items() if name.startswith(f"test_{id_}_")]
    return found


def test_each_property_is_a_test_with_a_result_of_its_own(tmp_path: Path) -> None:
    ended, output = run(tmp_path)
    assert len(ended) == len(properties()) + 2
    assert ended["test_the_client_calls_the_api"] == ("passed", "")
    kind, told = of(ended, "C18")
    assert kind == "failure"
    assert "✗ C18 MUST   HTTP 200 with FAILED is a failure" in told
    assert "C18, as it went" in told
    assert "POST /flux/generate → 200" in told
    kind, told = of(ended, "C49")
    assert (kind, "not exercised: needs a client that takes a file to edit" in told) == ("skipped", True)
    kind, told = of(ended, "C01")
    assert (kind, "the plan is about others" in told) == ("skipped", True)
    assert "Traceback" not in output


def test_a_should_is_an_expected_failure_unless_the_class_is_strict(tmp_path: Path) -> None:
    kind, told = of(run(tmp_path)[0], "C30")
    assert (kind, "pytest.xfail" in told) == ("skipped", True)
    kind, told = of(run(tmp_path, extra="    strict = True")[0], "C30")
    assert kind == "failure"


def test_a_good_client_passes(tmp_path: Path) -> None:
    ended, output = run(tmp_path, client="good", only=("C02", "C18", "C30"))
    assert {kind for kind, _ in ended.values()} == {"passed", "skipped"}
    assert "5 passed" in output


def test_a_client_that_never_calls_fails(tmp_path: Path) -> None:
    ended, _ = run(tmp_path, client="staticmethod(never_calls)", examples=1)
    kind, told = ended["test_the_client_calls_the_api"]
    assert (kind, "never called the API" in told) == ("failure", True)


def test_a_client_that_can_do_nothing_fails(tmp_path: Path) -> None:
    ended, _ = run(tmp_path, client="staticmethod(says_no_mode)", examples=1)
    assert ended["test_the_client_calls_the_api"] == ("passed", "")
    kind, told = ended["test_the_client_works_when_all_goes_well"]
    assert kind == "failure"
    assert "HTTP Error 400: Bad Request); POST /flux/generate was answered 400 (mode is missing)" in " ".join(
        told.split()
    )


def test_a_class_of_which_nothing_was_seen_fails(tmp_path: Path) -> None:
    ended, _ = run(tmp_path, client="good", only=("C49",), examples=3)
    kind, told = ended["test_the_client_calls_the_api"]
    assert (kind, "nothing is known: the property that was looked for was not seen" in told) == ("failure", True)


def test_workers_that_share_a_class_come_to_the_same(tmp_path: Path) -> None:
    alone, _ = run(tmp_path)
    together, _ = run(tmp_path, "-n", "2")
    assert together == alone


def test_a_class_is_explored_once(tmp_path: Path) -> None:
    counted = (
        "    def client(self, base_url, api_key, prompt):\n"
        "        with open('calls', 'a') as file:\n"
        "            file.write('x')\n"
        "        return good(base_url, api_key, prompt)\n"
    )
    ended, _ = run(tmp_path, client="None", extra=counted, only=("C02", "C18", "C30"), examples=5)
    assert of(ended, "C18")[0] in {"passed", "skipped"}
    assert len((tmp_path / "calls").read_text()) == 5


def test_policies_are_off_until_they_are_declared(tmp_path: Path) -> None:
    kind, told = of(run(tmp_path, only=(), examples=1)[0], "C07")
    assert (kind, "POLICY: off until its value is declared" in told) == ("skipped", True)
    kind, told = of(run(tmp_path, only=(), examples=1, more=", policy=Policy(max_in_flight=1)")[0], "C07")
    assert "POLICY" not in told


def test_a_class_takes_a_receiver_of_webhooks(tmp_path: Path) -> None:
    ended, _ = run(tmp_path, client="takes_hooks", extra="    receiver = receiver", only=("C08",), examples=3)
    assert of(ended, "C08")[0] == "passed"


@pytest.mark.parametrize("client", ["None", "staticmethod(takes_too_little)"])
def test_what_is_no_client_is_told_by_every_test(tmp_path: Path, client: str) -> None:
    ended, _ = run(tmp_path, client=client)
    kind, told = of(ended, "C18")
    assert kind == "failure"
    assert "expected" in told


def test_the_kit_is_found_at_the_top_of_the_package() -> None:
    for name in ("check_client", "ClientContract", "Plan", "Policy", "Verdict", "replay"):
        assert name in contract_tests.__all__
        assert getattr(contract_tests, name).__module__.startswith("contract_tests.clients.")
