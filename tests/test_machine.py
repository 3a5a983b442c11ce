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
    """
    What a client sees of two tenants, against what it was told before.

    Everything happens to a twin as well, on which time is walked in one step where it was walked in several: so the
    twin's answers are the same, or time is not additive.
    """

    jobs = Bundle("jobs")

    @initialize(slots=st.integers(1, 3), refund=st.booleans())
    def start(self, slots: int, refund: bool) -> None:
        self.servers = [
            mock_server.serve(
                port=0,
                clock="frozen",
                contract="2026-03",
                slots=slots,
                refund=refund,
                balance=BALANCE,
                queue=QUEUE,
                deliverer=RecordingDeliverer(500),
                hook_retry="3,7",
                public_url="http://same.test",
            ).__enter__()
            for _ in range(2)
        ]
        self.https = [self.connect(server) for server in self.servers]
        self.tenants = {key: self.servers[0].tenant(key) for key in KEYS}
        self.twins = {key: self.servers[1].tenant(key) for key in KEYS}
        self.slots, self.refund = slots, refund
        self.owner: dict[str, str] = {}
        self.mode: dict[str, str] = {}
        self.last: dict[str, Any] = {}

    def connect(self, server: Server) -> http.client.HTTPConnection:
        url = urlsplit(server.url)
        return http.client.HTTPConnection(str(url.hostname), url.port, timeout=20)

    def call(self, key: str, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        headers = {"TT-API-KEY": key, "Content-Type": "application/json"}
        answers = []
        for connection in self.https:
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            answers.append((answer.status, answer.read()))
        assert answers[0] == answers[1], "twins answer alike"
        return answers[0][0], json.loads(answers[0][1])

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

    @rule(key=st.sampled_from(KEYS), steps=st.lists(st.integers(0, 15_000), min_size=1, max_size=3))
    def advance(self, key: str, steps: list[int]) -> None:
        other = self.tenants["beta" if key == "alpha" else "alpha"]
        before = (other.clock.now(), list(other.jobs))
        for step in steps:
            self.tenants[key].clock.advance(step / 1000)
        self.twins[key].clock.advance(sum(steps) / 1000)
        assert before == (other.clock.now(), list(other.jobs)), "no clock moves another tenant"

    @rule(job=consumes(jobs))
    def fail(self, job: str) -> None:
        owner = self.owner[job]
        if not self.tenants[owner].jobs.get(job).state.final:
            assert self.tenants[owner].jobs.fail(job).state is JobState.FAILED
            self.twins[owner].jobs.fail(job)
            for world in (self.tenants, self.twins):
                world[owner].clock.advance(0)  # its hook is due now, and would come a little later by itself

    @invariant()
    def advancing_in_steps_is_advancing_once(self) -> None:
        for key, tenant in getattr(self, "tenants", {}).items():
            twin = self.twins[key]
            assert tenant.clock.now() == twin.clock.now()
            assert list(tenant.jobs) == list(twin.jobs)
            assert list(tenant.hooks) == list(twin.hooks)
            assert list(tenant.ledger) == list(twin.ledger)

    @invariant()
    def no_more_run_than_there_are_slots(self) -> None:
        for tenant in getattr(self, "tenants", {}).values():
            assert sum(job.state is JobState.RUNNING for job in tenant.jobs) <= self.slots

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
        for connection in getattr(self, "https", []):
            connection.close()
        for server in getattr(self, "servers", []):
            server.__exit__(None, None, None)


Emulator.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestEmulator = Emulator.TestCase
