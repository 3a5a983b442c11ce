"""A simulated client sees each fault as it does through a real socket: the same table holds for both."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

import pytest
from fault_clients import PYTHON_CLIENTS, Urllib, outcome
from fault_model import Fault
from fault_table import FAULTS, OTHER
from test_faults import clean_values, request_of

from contract_tests.clients.directives.base import Directive, Family
from contract_tests.clients.given import Callee
from contract_tests.clients.simulation.run import ORIGINS, Simulation
from contract_tests.clients.story import Ending, Intent

IDLE = 2.0
"""Virtual seconds between two calls, in which an idle connection may be closed."""

KEY = "test-key"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("name", PYTHON_CLIENTS)
def test_a_simulated_client_sees_a_fault_as_the_table_says(fault: Fault, name: str) -> None:
    def client(base_url: str, api_key: str, prompt: str) -> str:
        with ExitStack() as stack:
            job_id = ""
            if fault.calls[0] != "submit":
                ordered = Urllib(stack, 120.0).send(request_of("submit", base_url, ""))
                job_id = ordered[1]()["data"]["jobId"]
            session = PYTHON_CLIENTS[name](stack, fault.timeout)
            outcomes = []
            for call, clean in zip(fault.calls, clean_values(fault.calls, fault.progress), strict=True):
                if outcomes:
                    time.sleep(IDLE)
                outcomes.append(outcome(session, request_of(call, base_url, job_id), clean))
            return "; ".join(outcomes)

    rule = json.loads(json.dumps(fault.rule).replace(OTHER, ORIGINS["elsewhere"]))
    directive = Directive("fault", Family.FLAKY_FETCH, (rule,), {"progress": fault.progress})
    clean_values(fault.calls, fault.progress)  # a real server, so not in the simulation
    with Simulation(Callee(client), contract="2024-09") as simulation:
        story = simulation.play((directive,), Intent(KEY, "a cat", "flux1-dev"))

    expected = fault.seen[name]
    assert story.outcome.ending is Ending.RETURNED, story.outcome
    if OTHER not in json.dumps(fault.rule):
        assert story.outcome.value in expected.outcomes
        came = [request for request in story.requests if request.endpoint][1 if fault.calls[0] != "submit" else 0 :]
        assert len(came) == (expected.requests or len(fault.calls))
    else:
        elsewhere = [request for request in story.requests if request.origin == ORIGINS["elsewhere"]]
        leaked = [request for request in elsewhere if KEY.encode() in request.raw]
        assert (bool(leaked), bool(elsewhere) and not leaked) == (expected.key is True, expected.key is False)
