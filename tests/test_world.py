"""Tenants together: who gets in, what one can do to another, and what is kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from support import PROMPT, Caller, explained, picture

import mock_server
from mock_server.errors import SettingsError
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.identity import Source
from mock_server.model import Account, Change, Job, JobState, Order, Plan, Posting, Timer, TimerKind
from mock_server.serving import Server
from mock_server.store import MemoryStore

Emulate = Callable[..., Caller]
ORDER = Order("generate", "a cat", "flux1-dev", "1024x1024", None, "http://localhost")


def test_two_keys_whose_images_could_be_taken_for_each_other_keep_their_own(emulate: Emulate) -> None:
    # Found by trying: these keys have the same tag in the names of their images.
    first = emulate(key="key-53450", progress="immediate")
    second = Caller(first.app, "key-153793")
    assert Source(0, first.key).tag == Source(0, second.key).tag
    urls = [caller.fetch(caller.submit())["data"]["imageUrl"] for caller in (first, second)]
    assert [first.http.get(urlsplit(url).path).status_code for url in urls] == [200, 200]


def test_seed_and_key_are_told_apart_and_shares_are_independent() -> None:
    assert Source(1, "2x").draw(1) != Source(12, "x").draw(1)
    draws = [Source(0, "k").draw(number) for number in range(1, 50)]
    assert len({draw.job_id for draw in draws}) == len(draws)
    assert all(draw.queue_share != draw.run_share for draw in draws)


def test_looking_at_a_key_that_is_not_listed_does_not_let_it_in() -> None:
    with mock_server.serve(port=0, key="good", observer=None) as server:
        caller = Caller(server.app, "bad")
        assert caller.generate().status_code == 401
        assert len(server.tenant("bad").journal) == 0
        assert caller.generate().status_code == 401
        assert Caller(server.app, "good").generate().status_code == 200


def test_a_call_to_nowhere_makes_no_tenant(emulate: Emulate) -> None:
    caller = emulate()
    for number in range(50):
        caller.http.get("/nothing", headers={"TT-API-KEY": f"key-{number}"})
    assert caller.app.world._tenants == {}


@pytest.mark.parametrize("setting", ["hook_allow", "max_body", "hook_timeout"])
def test_what_is_one_for_all_cannot_be_set_for_one(setting: str) -> None:
    with (
        mock_server.serve(port=0) as server,
        pytest.raises(SettingsError, match=f"^{setting}: one for all tenants"),
    ):
        server.tenant("k", **{setting: "1"})


def test_a_known_tenant_is_made_anew_with_its_changes() -> None:
    with mock_server.serve(port=0, balance=5) as server:
        assert server.tenant("k").ledger.balance() == 5
        assert server.tenant("k", balance=6).ledger.balance() == 6


def test_threads_end_with_the_server() -> None:
    before = set(threading.enumerate())
    with mock_server.serve(port=0, progress="immediate", clock="x1000", hook_retry="500000") as server:
        caller = Caller(server.app)
        caller.submit(hookUrl=f"{server.url}/nobody")
        server.tenant(caller.key).clock.advance(0)
    left = {thread for thread in threading.enumerate() if thread not in before and thread.name != "fluxmock-worker"}
    for thread in left:
        thread.join(20)
    assert not [thread.name for thread in left if thread.is_alive()]


def test_what_a_client_sends_is_kept_only_in_part(emulate: Emulate) -> None:
    caller = emulate()
    caller.post("/flux/fetch", json={"jobId": "x" * 500_000})
    caller.generate(**{f"field-{number}" * 1000: 1 for number in range(60)})
    refused, remarked = caller.app.world.tenant(caller.key).journal.requests
    assert (refused.status, remarked.status) == (404, 200)
    assert len(refused.explanation) <= 2000
    assert len(remarked.lint) == 21
    assert "40 more unknown fields" in remarked.lint[-1]
    assert all(len(remark) < 300 for remark in remarked.lint)


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_without_files_has_a_limit_of_its_own(emulate: Emulate, kind: str) -> None:
    body = b'{"prompt": "' + b"x" * 1024 * 1024 + b'", "mode": "flux1-dev"}'
    answer = emulate().post("/flux/generate", data=body, content_type=kind)
    assert (answer.status_code, "at most 1048576 bytes" in explained(answer)) == (413, True)


def test_every_call_counts_against_the_rate_limit(emulate: Emulate) -> None:
    caller = emulate(rate_limit="3/10s")
    job_id = caller.submit()
    answers = [caller.post("/flux/fetch", json={"jobId": job_id}).status_code for _ in range(3)]
    assert answers == [200, 200, 429]


def test_an_edit_takes_its_size_from_the_ratio_alone(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")
    answer = caller.edit((picture(), "a.png"), size="1792x1024", aspect_ratio="9:16")
    assert caller.fetch(answer.get_json()["data"]["jobId"])["data"]["size"] == "768x1344"


def test_a_second_upload_that_is_no_image_is_refused_too(emulate: Emulate) -> None:
    answer = emulate().edit((picture(), "a.png"), (b"no image", "b.png"))
    assert (answer.status_code, "image: " in explained(answer)) == (400, True)


def test_the_same_prompt_gives_another_image_each_time(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")
    images = [caller.http.get(urlsplit(caller.fetch(caller.submit())["data"]["imageUrl"]).path).data for _ in range(2)]
    assert images[0] != images[1]


def test_a_prompt_with_every_kind_of_line_end_can_be_drawn(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")
    url = caller.fetch(caller.submit(prompt="one\u2029two\u2028three\x85four\r\nfive"))["data"]["imageUrl"]
    assert caller.http.get(urlsplit(url).path).status_code == 200


def test_cookies_stay_out_of_the_journal(emulate: Emulate) -> None:
    caller = emulate()
    caller.post("/flux/generate", json=PROMPT, headers={"Cookie": "session=topsecretvalue"})
    assert "topsecretvalue" not in str(caller.app.world.tenant(caller.key).journal.requests[0].headers)


def test_timers_of_one_instant_come_in_the_order_they_were_set() -> None:
    store = MemoryStore(Posting(0.0, Account.PURCHASED, Account.AVAILABLE, 1))  # type: ignore[arg-type]
    jobs = tuple(
        Job(f"j{number}", number, ORDER, 1, JobState.PENDING, Plan(0.0, 0.0), 0.0)  # type: ignore[arg-type]
        for number in range(5)
    )
    timers = tuple(Timer(7.0, TimerKind.START, job.id) for job in jobs)
    store.commit(Change(jobs=jobs, timers=timers))
    assert [store.pop_due(7.0, hooks=True) for _ in range(6)] == [*timers, None]


def test_a_pending_job_that_fails_frees_no_slot(emulate: Emulate) -> None:
    caller = emulate(slots=1)
    ids = [caller.submit() for _ in range(3)]
    server_tenant = caller.app.world.tenant(caller.key)
    server_tenant.advance(2.5)
    waiting = [job for job in server_tenant.current_jobs() if job.state is JobState.PENDING]
    assert len(waiting) == 2
    from mock_server.engine import Event

    server_tenant.force(waiting[0].id, Event.FAIL)
    assert sum(job.state is JobState.RUNNING for job in server_tenant.current_jobs()) == 1
    assert len(ids) == 3


def test_many_threads_on_one_tenant_keep_its_books(serve: Callable[..., Server]) -> None:
    server = serve(clock="x1000", slots=3, hook_retry="1", deliverer=RecordingDeliverer(500), queue=10_000)
    steered = server.tenant("k")
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            caller = Caller(server.app, "k")
            for turn in range(15):
                job_id = caller.submit(hookUrl="http://127.0.0.1:9/h")
                caller.fetch(job_id)
                if number == 0:
                    steered.clock.advance(turn)
                    steered.clock.freeze()
                    steered.clock.run(1000.0)
        except BaseException as error:  # noqa: BLE001 - reported below, in the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    steered.clock.freeze()
    steered.clock.run_until_idle()
    tenant = server.world.tenant("k")
    assert (tenant.store.hooks_expected, tenant.store.running, tenant.store.unfinished) == (0, 0, 0)
    assert sum(tenant.store.balances.values()) == 0
    assert steered.ledger.spent == 60
    assert [entry.number for entry in steered.journal] == list(range(1, len(steered.journal) + 1))
