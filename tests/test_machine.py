"""A state machine drives the emulator over HTTP and holds it against a small model."""

from __future__ import annotations

import http.client
import json
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

import mock_server
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.model import Account, JobState
from mock_server.serving import Server

KEYS = ("alpha", "beta")
MODES = st.sampled_from(["flux1-dev", "flux1-pro"])
PRICE = {"flux1-dev": 1, "flux1-pro": 4}
BALANCE = 25
QUEUE = 6
ORDER_OF_STATUS = ["PENDING_QUEUE", "ON_QUEUE", "SUCCESS", "FAILED"]


class Emulator(RuleBasedStateMachine):
    """What a client sees of two tenants, against what it was told before."""

    jobs = Bundle("jobs")
    server: Server

    @initialize(slots=st.integers(1, 3), refund=st.booleans())
    def start(self, slots: int, refund: bool) -> None:
        self.sent = RecordingDeliverer()
        self.server = mock_server.serve(
            port=0, clock="frozen", contract="2026-03", slots=slots, refund=refund, balance=BALANCE, queue=QUEUE,
            deliverer=self.sent,
        ).__enter__()  # fmt: skip
        url = urlsplit(self.server.url)
        self.http = http.client.HTTPConnection(str(url.hostname), url.port, timeout=20)
        self.tenants = {key: self.server.tenant(key) for key in KEYS}
        self.refund = refund
        self.owner: dict[str, str] = {}
        self.mode: dict[str, str] = {}
        self.last: dict[str, Any] = {}

    def call(self, key: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        headers = {"TT-API-KEY": key, "Content-Type": "application/json"}
        self.http.request("POST", path, json.dumps(body), headers)
        answer = self.http.getresponse()
        return answer.status, json.loads(answer.read())

    @rule(target=jobs, key=st.sampled_from(KEYS), mode=MODES, hook=st.booleans())
    def submit(self, key: str, mode: str, hook: bool) -> Any:
        body = {"prompt": f"for {key}", "mode": mode} | ({"hookUrl": "http://127.0.0.1:9/h"} if hook else {})
        tenant = self.tenants[key]
        unfinished = sum(not job.state.final for job in tenant.jobs)
        affordable = tenant.ledger.balance() >= PRICE[mode]
        status, answer = self.call(key, "/flux/generate", body)
        expected = 402 if not affordable else 499 if unfinished >= QUEUE else 200
        assert status == expected
        if status != 200:
            return multiple()
        job_id = answer["data"]["job_id"]
        assert job_id not in self.owner, "ids are unique"
        self.owner[job_id], self.mode[job_id] = key, mode
        return job_id

    @rule(job=jobs)
    def fetch(self, job: str) -> None:
        status, answer = self.call(self.owner[job], "/flux/fetch", {"jobId": job})
        assert status == 200
        before = self.last.get(job)
        if before is not None:
            assert ORDER_OF_STATUS.index(answer["status"]) >= ORDER_OF_STATUS.index(before["status"])
            if before["status"] in {"SUCCESS", "FAILED"}:
                assert answer == before, "terminal states never change"
        if answer["status"] == "SUCCESS":
            assert answer["data"]["prompt"] == f"for {self.owner[job]}"
            assert answer["data"]["quota"] == str(PRICE[self.mode[job]])
        self.last[job] = answer

    @rule(job=jobs, key=st.sampled_from(KEYS))
    def fetch_as(self, job: str, key: str) -> None:
        status, answer = self.call(key, "/flux/fetch", {"jobId": job})
        assert status == (200 if key == self.owner[job] else 404)
        if status == 404:
            assert answer["data"] is None, "no tenant sees another"

    @rule(key=st.sampled_from(KEYS), seconds=st.floats(0, 30))
    def advance(self, key: str, seconds: float) -> None:
        other = self.tenants["beta" if key == "alpha" else "alpha"]
        before = (other.clock.now(), list(other.jobs))
        self.tenants[key].clock.advance(seconds)
        assert before == (other.clock.now(), list(other.jobs)), "no clock moves another tenant"

    @rule(job=consumes(jobs))
    def fail(self, job: str) -> None:
        tenant = self.tenants[self.owner[job]]
        if not tenant.jobs.get(job).state.final:
            assert tenant.jobs.fail(job).state is JobState.FAILED

    @invariant()
    def ledgers_balance(self) -> None:
        for key, tenant in getattr(self, "tenants", {}).items():
            jobs = list(tenant.jobs)
            balances = {account: tenant.ledger.balance(account) for account in Account}
            assert sum(balances.values()) == 0
            assert balances[Account.RESERVED] == sum((job.price for job in jobs if not job.state.final), Decimal(0))
            charged = [
                job
                for job in jobs
                if job.state is JobState.SUCCESS or (job.state is JobState.FAILED and not self.refund)
            ]
            assert balances[Account.SPENT] == sum((job.price for job in charged), Decimal(0))
            assert balances[Account.AVAILABLE] >= 0
            assert {job.id for job in jobs} == {job for job, owner in self.owner.items() if owner == key}

    @invariant()
    def every_finished_job_has_the_hooks_it_asked_for(self) -> None:
        for tenant in getattr(self, "tenants", {}).values():
            asked = [job.id for job in tenant.jobs if job.state.final and job.order.hook_url]
            assert sorted(delivery.job_id for delivery in tenant.hooks) == sorted(asked)

    def teardown(self) -> None:
        if hasattr(self, "server"):
            self.http.close()
            self.server.__exit__(None, None, None)


Emulator.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestEmulator = Emulator.TestCase
