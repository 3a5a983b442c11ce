"""Webhooks, C41: clients that believe forged webhooks are found, and forged ones go where the true ones go."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from good_clients import Refused
from hook_parts import ended, inbox, judged, never_answers, played, with_hook_url
from hooked_clients import Hooked, api, downloaded, fetched, ordered, woken_by_hooks

from contract_tests.clients.directives import hooks
from contract_tests.clients.directives.forgeries import FORGERIES
from contract_tests.clients.replaying import replay
from contract_tests.clients.saved import save
from contract_tests.clients.verdict import Result

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
