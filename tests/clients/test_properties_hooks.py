"""Webhooks, C35 to C42: what breaks each in real code is found, and good clients are not blamed."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from good_clients import Refused, with_urllib
from hooked_clients import GOOD, PAUSE, Hooked, api, downloaded, fetched, ordered, woken_by_hooks

from contract_tests.clients.check import Plan, check_client, playing
from contract_tests.clients.directives import hooks
from contract_tests.clients.directives.base import Directive, Family, rule, scenario_of
from contract_tests.clients.directives.forgeries import AGAIN, FORGERIES
from contract_tests.clients.properties.base import Grade, Level, Policy, properties
from contract_tests.clients.replaying import replay
from contract_tests.clients.saved import save
from contract_tests.clients.story import Story
from contract_tests.clients.verdict import PropertyResult, Result, Verdict
from mock_server.scenarios.files import parse_scenario

IDS = ("C35", "C36", "C37", "C38", "C39", "C40", "C41", "C42")
EXAMPLES = 8
ALL = [
    *hooks.odd_hooks(),
    *hooks.racing_hooks(),
    *hooks.repeated_hooks(),
    *hooks.lost_hooks(),
    *hooks.resent_hooks(),
    *hooks.slow_work(),
    *hooks.forged_hooks(),
]


def checked(hooked: Hooked, *ids: str, examples: int = EXAMPLES, **policy: Any) -> Verdict:
    plan = Plan(only=ids, examples=examples, policy=Policy(**policy))
    return check_client(hooked.client, plan=plan, receiver=hooked.receiver)


def judged(hooked: Hooked, id_: str, **policy: Any) -> PropertyResult:
    return checked(hooked, id_, **policy)[id_]


def played(hooked: Hooked, *directives: Directive) -> Story:
    with playing(hooked.client, Plan(), hooked.receiver) as play:
        return play(directives)


def graded(story: Story) -> dict[str, Grade]:
    return {id_: properties()[id_].judge(story, Policy()).grade for id_ in IDS}


# What broken clients are made of


Handler = Callable[[Any], Any]


def inbox(handle: Handler) -> Flask:
    """Return a receiver that has the JSON of each webhook handled; what is raised is a 500."""
    app = Flask("inbox")

    @app.post("/hook")
    def hook() -> tuple[str, int]:
        answer = handle(request.get_json(silent=True))
        return "", answer if isinstance(answer, int) else 204

    return app


class Jobs:
    """A table of jobs that a client waits for, by id."""

    def __init__(self) -> None:
        self.events: dict[str, threading.Event] = {}
        self.images: dict[str, bytes] = {}

    def waited(self, job_id: str, patience: float = 600.0) -> None:
        if not self.events.setdefault(job_id, threading.Event()).wait(patience):
            raise Refused("no webhook came")

    def client(self, *, patience: float = 600.0, **changes: Any) -> Callable[..., bytes]:
        """Return a client that waits for the webhook alone, and then downloads what a fetch says."""

        def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
            call = api(base_url, api_key)
            job_id = ordered(call, prompt, hook_url)
            self.waited(job_id, patience)
            url = fetched(call, job_id)
            assert url is not None
            return downloaded(url)

        return client


def ended(told: Any) -> bool:
    return isinstance(told, dict) and told.get("status") in {"SUCCESS", "FAILED"}


def with_hook_url(change: Callable[[str, str], Any]) -> Hooked:
    """Return a good client that sends another hookUrl: `change(hook_url, api_key)`."""
    good = woken_by_hooks()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str | None = None) -> bytes:
        return good.client(base_url, api_key, prompt, change(str(hook_url), api_key))

    return Hooked(client, good.receiver)


# Good clients


@pytest.mark.parametrize("make", GOOD)
def test_good_clients_are_not_blamed_and_every_property_is_exercised(make: Callable[[], Hooked]) -> None:
    verdict = checked(make(), *IDS, examples=40)
    assert not verdict.failures(), [(one.property.id, one.why, one.directives) for one in verdict.failures()]
    assert {one.property.id for one in verdict.results if one.result is Result.PASS} >= set(IDS) - {"C42"}


@pytest.mark.parametrize("directive", ALL, ids=lambda directive: directive.name)
@pytest.mark.parametrize("make", GOOD)
def test_a_good_client_holds_all_in_each_scenario(make: Callable[[], Hooked], directive: Directive) -> None:
    assert Grade.FAIL not in graded(played(make(), directive)).values()


# C35


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda url, _key: url.removeprefix("http://"), "must be absolute"),
        (lambda _url, _key: "/hook", "must be absolute"),
        (lambda url, _key: url.replace("http://", "http://user:secret@"), "may not hold credentials"),
        (lambda url, key: f"{url}?key={key}", "the key in it"),
        (lambda url, _key: {"url": url}, "no text"),
    ],
    ids=["no scheme", "a path", "credentials", "the key", "an object"],
)
def test_a_malformed_hook_url_is_found(change: Callable[[str, str], Any], why: str) -> None:
    result = judged(with_hook_url(change), "C35")
    assert result.result is Result.FAIL
    assert why in result.why


# C36


def downloads_in_the_handler() -> Hooked:
    jobs = Jobs()

    def handle(told: Any) -> None:
        if ended(told) and told["jobId"] not in jobs.images:
            jobs.images[told["jobId"]] = downloaded(told["data"]["imageUrl"])
            jobs.events.setdefault(told["jobId"], threading.Event()).set()

    return Hooked(jobs.client(), inbox(handle))


def fetches_in_the_handler() -> Hooked:
    calls: dict[str, Any] = {}
    good = woken_by_hooks()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        calls["api"] = api(base_url, api_key)
        return good.client(base_url, api_key, prompt, hook_url)

    return Hooked(client, inbox(lambda told: fetched(calls["api"], told["jobId"]) and None if ended(told) else 400))


def sleeps_in_the_handler() -> Hooked:
    return Hooked(woken_by_hooks().client, inbox(lambda _: time.sleep(9)))


def answers(status: int) -> Hooked:
    return Hooked(woken_by_hooks().client, inbox(lambda _: status))


def never_answers() -> Hooked:
    return Hooked(woken_by_hooks().client, inbox(lambda _: threading.Event().wait()))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (downloads_in_the_handler, "s for a webhook (5)"),
        (fetches_in_the_handler, "took 20 s for a webhook (5)"),
        (sleeps_in_the_handler, "took 9 s"),
        (partial(answers, 404), "answered 404"),
        (partial(answers, 500), "answered 500"),
        (never_answers, "did not answer a webhook within 5 s"),
    ],
    ids=["downloads", "fetches", "sleeps", "404", "500", "hangs"],
)
def test_a_receiver_that_is_slow_or_refuses_is_found(make: Callable[[], Hooked], why: str) -> None:
    result = judged(make(), "C36")
    assert result.result is Result.FAIL
    assert why in result.why


def test_how_long_a_receiver_may_take_can_be_declared() -> None:
    assert judged(sleeps_in_the_handler(), "C36", hook_seconds=10.0).result is Result.PASS


# C37


def downloads_for_every_webhook() -> Hooked:
    jobs = Jobs()

    def handle(told: Any) -> None:
        if ended(told):
            threading.Thread(target=work, args=(told,), daemon=True).start()

    def work(told: Any) -> None:
        jobs.images[told["jobId"]] = downloaded(told["data"]["imageUrl"])
        jobs.events.setdefault(told["jobId"], threading.Event()).set()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        job_id = ordered(api(base_url, api_key), prompt, hook_url)
        jobs.waited(job_id)
        return jobs.images[job_id]

    return Hooked(client, inbox(handle))


def looks_first_and_notes_last() -> Hooked:
    """One after the other is fine; two at the same instant both find nothing noted."""
    jobs = Jobs()

    def handle(told: Any) -> None:
        if ended(told) and told["jobId"] not in jobs.images:
            jobs.images[told["jobId"]] = downloaded(told["data"]["imageUrl"])
            jobs.events.setdefault(told["jobId"], threading.Event()).set()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        job_id = ordered(api(base_url, api_key), prompt, hook_url)
        jobs.waited(job_id)
        return jobs.images[job_id]

    return Hooked(client, inbox(handle))


def completes_a_future_twice() -> Hooked:
    futures: dict[str, Future[str]] = {}

    def handle(told: Any) -> None:
        if ended(told):
            futures.setdefault(told["jobId"], Future()).set_result(told["data"]["imageUrl"])

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> str:
        job_id = ordered(api(base_url, api_key), prompt, hook_url)
        return futures.setdefault(job_id, Future()).result(600)

    return Hooked(client, inbox(handle))


@pytest.mark.parametrize(
    ("make", "why", "scenario"),
    [
        (downloads_for_every_webhook, "downloaded the same image 2 times", ""),
        (looks_first_and_notes_last, "downloaded the same image 2 times", "twice at once"),
        (completes_a_future_twice, "answered 500", ""),
    ],
)
def test_a_webhook_that_counts_twice_is_found(make: Callable[[], Hooked], why: str, scenario: str) -> None:
    result = judged(make(), "C37")
    assert result.result is Result.FAIL
    assert why in result.why
    (name,) = result.directives
    assert scenario in name


# C38


def knows_a_job_when_it_is_answered() -> Hooked:
    """What comes earlier is dropped, and nothing else tells the result."""
    jobs = Jobs()

    def handle(told: Any) -> int:
        event = jobs.events.get(told["jobId"]) if ended(told) else None
        if event is None:
            return 404
        event.set()
        return 204

    return Hooked(jobs.client(), inbox(handle))


def takes_every_webhook_for_the_end() -> Hooked:
    results: dict[str, Any] = {}

    def handle(told: Any) -> None:
        if isinstance(told, dict) and "jobId" in told:
            results[told["jobId"]] = told

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        for _ in range(60):
            time.sleep(PAUSE)
            if job_id in results:
                return downloaded(results[job_id]["data"]["imageUrl"])
        raise Refused("no webhook came")

    return Hooked(client, inbox(handle))


def forgets_jobs_that_are_done() -> Hooked:
    jobs: dict[str, str] = {}

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        jobs[job_id] = "waiting"
        try:
            while (url := fetched(call, job_id)) is None:
                time.sleep(PAUSE)
        finally:
            del jobs[job_id]
        return downloaded(url)

    return Hooked(client, inbox(lambda told: str(jobs[told["jobId"]])))


@pytest.mark.parametrize(
    ("make", "why", "scenario"),
    [
        (knows_a_job_when_it_is_answered, "it reported failure", "submit answer"),
        (takes_every_webhook_for_the_end, "it reported failure", "ON_QUEUE"),
        (forgets_jobs_that_are_done, "answered 500", ""),
    ],
)
def test_a_client_that_expects_an_order_is_found(make: Callable[[], Hooked], why: str, scenario: str) -> None:
    result = judged(make(), "C38")
    assert result.result is Result.FAIL
    assert why in result.why
    assert scenario in " ".join(result.directives)


# C39


def both_ways_download() -> Hooked:
    """The loop that polls and the receiver know nothing of each other."""
    jobs = Jobs()

    def handle(told: Any) -> None:
        if ended(told):
            threading.Thread(target=work, args=(told["jobId"], told["data"]["imageUrl"]), daemon=True).start()

    def work(job_id: str, url: str) -> None:
        jobs.images[job_id] = downloaded(url)
        jobs.events.setdefault(job_id, threading.Event()).set()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        while not jobs.events.setdefault(job_id, threading.Event()).wait(PAUSE):
            url = fetched(call, job_id)
            if url is not None:
                work(job_id, url)
        return jobs.images[job_id]

    return Hooked(client, inbox(handle))


def looks_twice_more() -> Hooked:
    """The loop that polls has the end confirmed, and so has whoever reads the webhook."""
    good = woken_by_hooks()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        for _ in range(60):
            time.sleep(PAUSE)
            url = fetched(call, job_id)
            if url is not None:
                break
        time.sleep(PAUSE)
        assert url == fetched(call, job_id) == fetched(call, job_id)
        return downloaded(url)

    return Hooked(client, good.receiver)


def polls_on_in_the_background() -> Hooked:
    good = woken_by_hooks()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        urls: list[str] = []

        def poll() -> None:
            for _ in range(20):
                time.sleep(PAUSE)
                url = fetched(call, job_id)
                urls.extend([url] if url else [])

        threading.Thread(target=poll, daemon=True).start()
        while not urls:
            time.sleep(PAUSE)
        return downloaded(urls[0])

    return Hooked(client, good.receiver)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (both_ways_download, "downloaded the same image 2 times"),
        (polls_on_in_the_background, "more times after"),
        (looks_twice_more, "it fetched the job 2 more times after fetch and webhook had told the end"),
    ],
)
def test_a_job_that_is_completed_twice_is_found(make: Callable[[], Hooked], why: str) -> None:
    result = judged(make(), "C39")
    assert result.result is Result.FAIL
    assert why in result.why


# C40


def waits_for_the_webhook_alone() -> Hooked:
    jobs = Jobs()

    def handle(told: Any) -> None:
        if ended(told):
            jobs.events.setdefault(told["jobId"], threading.Event()).set()

    return Hooked(jobs.client(), inbox(handle))


def falls_back_too_late() -> Hooked:
    good = woken_by_hooks()

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        job_id = ordered(call, prompt, hook_url)
        time.sleep(910)
        url = fetched(call, job_id)
        assert url is not None
        return downloaded(url)

    return Hooked(client, good.receiver)


@pytest.mark.parametrize(
    ("make", "why"), [(waits_for_the_webhook_alone, "it reported failure"), (falls_back_too_late, "only after 910")]
)
def test_a_client_that_depends_on_its_webhook_is_warned_of(make: Callable[[], Hooked], why: str) -> None:
    result = judged(make(), "C40")
    assert (result.result, result.property.level) == (Result.FAIL, Level.SHOULD)
    assert why in result.why


# C41


def believing(handle: Callable[[dict[str, Any], Any], Any]) -> Hooked:
    """Return a client that takes the image of a webhook: `handle(results, body)` says of which."""
    results: dict[str, Any] = {}

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        results.clear()
        job_id = ordered(call, prompt, hook_url)
        for _ in range(120):
            time.sleep(1.0)
            told = results.get(job_id) or results.get("latest")
            url = told["data"]["imageUrl"] if told else fetched(call, job_id)
            if url:
                return downloaded(url)
        raise Refused("it took too long")

    return Hooked(client, inbox(lambda told: handle(results, told)))


def takes_any_host() -> Hooked:
    def handle(results: dict[str, Any], told: Any) -> Any:
        try:
            if told["status"] == "SUCCESS" and "imageUrl" in told["data"]:
                results[told["jobId"]] = told
        except (TypeError, LookupError):
            return 400

    return believing(handle)


def takes_any_job() -> Hooked:
    def handle(results: dict[str, Any], told: Any) -> Any:
        if ended(told) and isinstance(told["data"], dict) and "imageUrl" in told["data"]:
            results["latest"] = told

    return believing(handle)


def looks_before_it_knows_the_shape() -> Hooked:
    def handle(results: dict[str, Any], told: Any) -> Any:
        if told is not None and told.get("status") == "SUCCESS":
            results.pop(told["jobId"], None)

    return believing(handle)


def hashes_what_may_be_an_object() -> Hooked:
    def handle(results: dict[str, Any], told: Any) -> Any:
        return 200 if isinstance(told, dict) and results.get(told.get("jobId")) else 202

    return believing(handle)


def returns_any_url() -> Hooked:
    latest: list[str] = []

    def handle(told: Any) -> None:
        if ended(told) and isinstance(told["data"], dict) and "imageUrl" in told["data"]:
            latest.append(told["data"]["imageUrl"])

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> str:
        latest.clear()
        ordered(api(base_url, api_key), prompt, hook_url)
        while not latest:
            time.sleep(1.0)
        return latest[0]

    return Hooked(client, inbox(handle))


def stops_at_a_strange_webhook() -> Hooked:
    """An error of the receiver is handed to whoever waits."""
    troubles: list[str] = []

    def handle(told: Any) -> Any:
        if not ended(told):
            troubles.append("a webhook that nobody understands")
            return 400
        return 204

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> bytes:
        call = api(base_url, api_key)
        troubles.clear()
        job_id = ordered(call, prompt, hook_url)
        while (url := fetched(call, job_id)) is None:
            time.sleep(1.0)
            if troubles:
                raise Refused(troubles[0])
        return downloaded(url)

    return Hooked(client, inbox(handle))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (takes_any_host, "it called http://"),
        (takes_any_job, "it called http://"),
        (looks_before_it_knows_the_shape, "answered 500"),
        (hashes_what_may_be_an_object, "answered 500"),
        (returns_any_url, "it returned the image of a forged webhook"),
        (stops_at_a_strange_webhook, "it reported failure"),
        (never_answers, "did not answer a forged webhook"),
    ],
)
def test_a_client_that_believes_forged_webhooks_is_found(make: Callable[[], Hooked], why: str) -> None:
    result = judged(make(), "C41")
    assert result.result is Result.FAIL
    assert why in result.why


def test_forged_webhooks_come_while_the_job_is_under_way_and_after_it_has_ended() -> None:
    (directive,) = (one for one in hooks.forged_hooks() if "elsewhere" in one.name)
    story = played(woken_by_hooks(), directive)
    (true,) = [hook for hook in story.hooks if not hook.forged]
    forged = [hook for hook in story.hooks if hook.forged]
    assert [hook.forged for hook in forged] == [*directive.forged, *directive.forged]
    before, after = forged[: len(directive.forged)], forged[len(directive.forged) :]
    assert all(story.submissions[0].at < hook.at < true.at for hook in before)
    assert all(hook.at > true.at for hook in after)
    assert story.jobs[0].id.encode() in forged[1].body
    assert {hook.job_id for hook in forged} == {""}


def test_what_was_forged_is_saved_with_its_scenario_and_replayed(tmp_path: Path) -> None:
    hooked = takes_any_host()
    result = judged(hooked, "C41")
    file = save(result, tmp_path, seed=0, contract="2024-09")
    with pytest.raises(AssertionError, match="as a forged webhook said"):
        replay(file, hooked.client, receiver=hooked.receiver).check("C41")


def test_forged_webhooks_go_where_the_client_was_told_to_receive_them_and_not_where_it_says() -> None:
    paths: list[tuple[str, str]] = []

    def receiver(environ: Any, start_response: Any) -> list[bytes]:
        paths.append((environ["PATH_INFO"], environ["QUERY_STRING"]))
        start_response("204 No Content", [])
        return [b""]

    hooked = with_hook_url(lambda url, _key: f"{url}/secret?token=1")
    (directive,) = (one for one in hooks.forged_hooks() if "jobs of others" in one.name)
    played(Hooked(hooked.client, receiver), directive)
    assert paths.count(("/hook", "")) == 2 * len(directive.forged)
    assert paths.count(("/hook/secret", "token=1")) == 1


def test_a_client_that_knows_its_hook_url_by_itself_gets_forged_webhooks_there() -> None:
    good = woken_by_hooks()

    def client(base_url: str, api_key: str, prompt: str) -> bytes:
        return good.client(base_url, api_key, prompt, "http://hooks.fluxmock.test/hook?own=1")

    (directive,) = (one for one in hooks.forged_hooks() if "jobs of others" in one.name)
    story = played(Hooked(client, good.receiver), directive)
    assert [hook.status for hook in story.hooks] == [204] * (2 * len(directive.forged) + 1)


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_forged_is_the_same_every_time(name: str) -> None:
    assert FORGERIES[name]("job-1") == FORGERIES[name]("job-1")


# C42


def notes_before_it_reads() -> Hooked:
    """A delivery is noted as seen, then cannot be read; when it comes again it is dropped as a repetition."""
    jobs, seen = Jobs(), set[str]()
    app = Flask("inbox")

    @app.post("/hook")
    def hook() -> tuple[str, int]:
        delivery = request.headers["X-Fluxmock-Delivery"]
        if delivery in seen:
            return "", 200
        seen.add(delivery)
        told = json.loads(request.get_data())
        jobs.events.setdefault(told["jobId"], threading.Event()).set()
        return "", 200

    return Hooked(jobs.client(), app)


def refuses_for_ever() -> Hooked:
    good = woken_by_hooks()
    failed: list[Any] = []

    def handle(told: Any) -> int:
        failed.extend([told] if told is None else [])
        return 503 if failed else 204

    return Hooked(good.client, inbox(handle))


@pytest.mark.parametrize(
    ("make", "why"), [(notes_before_it_reads, "it reported failure"), (refuses_for_ever, "answered 503")]
)
def test_a_receiver_that_does_not_take_what_is_sent_again_is_warned_of(make: Callable[[], Hooked], why: str) -> None:
    result = judged(make(), "C42")
    assert (result.result, result.property.level) == (Result.FAIL, Level.SHOULD)
    assert why in result.why


# What is played


def test_the_same_webhook_comes_again_when_it_has_long_been_answered() -> None:
    (directive,) = (one for one in hooks.repeated_hooks() if AGAIN in one.forged)
    first, again = played(woken_by_hooks(), directive).hooks
    assert (again.body, again.forged) == (first.body, "")
    assert first.answered_at is not None
    assert again.at == pytest.approx(first.at + 30, abs=0.01)


def test_a_webhook_that_nobody_took_is_sent_again() -> None:
    (directive,) = (one for one in hooks.resent_hooks() if "cut off" in one.name)
    hooked = woken_by_hooks()
    cut, whole, *more = played(hooked, directive).hooks
    assert (cut.status, whole.status, more) == (400, 204, [])
    assert whole.body.startswith(cut.body)


def test_all_scenarios_are_scenarios() -> None:
    for directive in ALL:
        scenario = parse_scenario(json.dumps(scenario_of([directive])))
        assert len(scenario.rules) == len(directive.rules)


def test_without_a_receiver_nothing_is_known_and_nothing_is_played_for_it() -> None:
    plan = Plan(only=IDS, examples=20)
    verdict = check_client(with_urllib, plan=plan)
    assert {one.result for one in verdict.results} == {Result.NOT_EXERCISED}
    assert verdict.examples == 1


def test_a_client_that_asks_for_no_webhook_is_not_blamed_for_what_becomes_of_webhooks() -> None:
    receiver = inbox(lambda _: 500)

    def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> Any:
        return with_urllib(base_url, api_key, prompt)

    verdict = checked(Hooked(client, receiver), *[id_ for id_ in IDS if id_ != "C41"])
    assert {one.result for one in verdict.results} == {Result.NOT_EXERCISED}


def test_an_event_of_the_clients_loop_may_be_set_by_its_receiver() -> None:
    events: dict[str, asyncio.Event] = {}

    async def receiver(scope: Any, receive: Any, send: Any) -> None:
        told = json.loads((await receive())["body"])
        events[told["jobId"]].set()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def client(base_url: str, api_key: str, prompt: str, hook_url: str) -> str:
        job_id = ordered(api(base_url, api_key), prompt, hook_url)
        events[job_id] = asyncio.Event()
        await asyncio.wait_for(events[job_id].wait(), 300)
        return job_id

    story = played(Hooked(client, receiver))
    assert story.outcome.value == story.jobs[0].id
    assert story.hooks[0].at <= story.outcome.at < story.hooks[0].at + 0.1


def test_a_slow_receiver_is_heard_however_long_it_takes() -> None:
    slow = Directive("slow", Family.SLOW_JOB, (rule("hook", None, delay=1),))
    (call,) = played(sleeps_in_the_handler(), slow).hooks
    assert (call.status, call.answered_at) == (204, pytest.approx(call.at + 9, abs=0.01))
