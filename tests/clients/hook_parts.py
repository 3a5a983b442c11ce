"""What clients that break webhooks are made of, and how clients with a receiver are judged."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from flask import Flask, request
from good_clients import Refused
from hooked_clients import Hooked, api, downloaded, fetched, ordered, woken_by_hooks

from contract_tests.clients.check import Plan, check_client, playing
from contract_tests.clients.directives.base import Directive
from contract_tests.clients.properties.base import Grade, Policy, properties
from contract_tests.clients.story import Story
from contract_tests.clients.verdict import PropertyResult, Verdict

IDS = ("C35", "C36", "C37", "C38", "C39", "C40", "C41", "C42")
EXAMPLES = 8


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


def sleeps_in_the_handler() -> Hooked:
    return Hooked(woken_by_hooks().client, inbox(lambda _: time.sleep(9)))


def never_answers() -> Hooked:
    return Hooked(woken_by_hooks().client, inbox(lambda _: threading.Event().wait()))
