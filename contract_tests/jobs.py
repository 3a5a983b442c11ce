"""Follows jobs through a recording: do their messages agree with each other, and with what was ordered?"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from contract_tests.exchanges import Endpoint, Place
from contract_tests.findings import NOTHING, Confidence, Fact, Note, Tally, as_example
from contract_tests.messages import Parsed, is_submission
from contract_tests.shapes import kind
from mock_server import resources
from mock_server.engine import TRANSITIONS
from mock_server.model import JobState

MOST_JOBS = 50_000
"""Jobs that are followed at once. The oldest is let go for a new one, so that memory stays flat."""

_STATES = {state.value: state for state in JobState}


def _reachable() -> frozenset[tuple[JobState, JobState]]:
    """Return all pairs of states of which the second can be seen after the first, however rarely somebody looks."""
    pairs = {(origin, target) for (origin, _), target in TRANSITIONS.items()} | {(state, state) for state in JobState}
    for middle in JobState:
        pairs |= {(a, d) for a, b in pairs for c, d in pairs if b is c is middle}
    return frozenset(pairs)


_REACHABLE = _reachable()


@dataclass(slots=True)
class _Story:
    place: Place
    ordered: dict[str, Any] | None = None
    endpoint: Endpoint | None = None
    state: JobState | None = None
    fetched: Any = None
    hooked: Any = None


class JobBook:
    """
    The jobs of one host, held against one version of the contract.

    Args:
        version: of the contract.
        host: with its port; images may lie there, as those of an emulator do.

    Attributes:
        seen: how many jobs there were.
        let_go: how many were let go before the end of the recording.
    """

    def __init__(self, version: str, host: str) -> None:
        self._version = version
        self._host = host
        self._product = resources.load("product.json")
        self._images = urlsplit(self._product["origins"]["images"]).netloc
        self._stories: dict[str, _Story] = {}
        self.seen = self.let_go = 0

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._stories

    def note(self, message: Parsed, tally: Tally) -> None:
        """Go on with the job that `message` is about."""
        if message.endpoint is Endpoint.CALLBACK:
            self._result(message, message.request, tally, hooked=True)
        elif message.exchange.status == 200 and isinstance(message.response, dict):
            if is_submission(message.endpoint):
                self._submission(message)
            elif message.endpoint is Endpoint.FETCH:
                self._result(message, message.response, tally, hooked=False)

    def close(self, tally: Tally) -> None:
        """End the recording."""
        for story in self._stories.values():
            self._end(story, tally)
        self._stories.clear()

    def _story(self, job_id: str, place: Place, tally: Tally | None = None) -> _Story:
        story = self._stories.get(job_id)
        if story is None:
            story = self._stories[job_id] = _Story(place)
            self.seen += 1
            if len(self._stories) > MOST_JOBS:
                oldest = next(iter(self._stories))
                ended = self._stories.pop(oldest)
                self.let_go += 1
                if tally is not None:
                    self._end(ended, tally)
        return story

    def _submission(self, message: Parsed) -> None:
        job_id = job_id_of(message.response)
        if job_id is not None:
            story = self._story(job_id, message.exchange.place)
            story.ordered, story.endpoint = message.request, message.endpoint

    def _result(self, message: Parsed, value: Any, tally: Tally, *, hooked: bool) -> None:
        if not isinstance(value, dict):
            return
        place = message.exchange.place
        asked = message.request.get("jobId") if not hooked and isinstance(message.request, dict) else None
        outer = value.get("jobId")
        job_id = asked if isinstance(asked, str) else outer if isinstance(outer, str) else job_id_of(value)
        if job_id is None:
            return
        story = self._story(job_id, place, tally)
        endpoint = "callback.request" if hooked else "fetch.response"
        for note in self._ids(endpoint, job_id, value):
            tally.note(note, place)
        state = _STATES.get(value["status"]) if isinstance(value.get("status"), str) else None
        if state is None:
            return
        if story.state is not None and (story.state, state) not in _REACHABLE and not hooked:
            fact = self._fact("status")
            words = f"{story.state.value}, and later {state.value}"
            tally.note(Note("job/order", endpoint, "/status", words, fact, as_example(job_id)), place)
        first_end = state.final and not (story.state and story.state.final)
        if story.state is None or not story.state.final:
            story.state = state
        if state.final:
            if first_end and state is JobState.SUCCESS and isinstance(value.get("data"), dict):
                for note in self._outcome(endpoint, story, value["data"]):
                    tally.note(note, place)
            self._compare(story, value, tally, place, hooked=hooked)

    def _ids(self, endpoint: str, job_id: str, value: dict[str, Any]) -> list[Note]:
        notes = []
        data = value.get("data")
        for path, got in (
            (("jobId",), value.get("jobId")),
            (("data", "jobId"), data.get("jobId") if isinstance(data, dict) else None),
        ):
            if isinstance(got, str) and got != job_id:
                fact = self._fact(*path)
                pointer = "/" + "/".join(path)
                notes.append(Note("job/ids", endpoint, pointer, "expected the id of the job", fact, as_example(got)))
        return notes

    def _compare(self, story: _Story, value: Any, tally: Tally, place: Place, *, hooked: bool) -> None:
        data = value.get("data")
        expects_hook = (
            hooked or (story.ordered or {}).get("hookUrl") or (isinstance(data, dict) and data.get("hookUrl"))
        )
        if not expects_hook:
            return
        if hooked:
            story.hooked = value
        else:
            story.fetched = value
        if story.hooked is not None and story.fetched is not None and story.hooked != story.fetched:
            names = sorted(
                name
                for name in story.hooked.keys() | story.fetched.keys()
                if story.hooked.get(name) != story.fetched.get(name)
            )
            fact = Fact("callback.request.json", "", ("S3", "S5"), Confidence.DOCUMENTED)
            words = f"the webhook and the final fetch differ in {', '.join(names)}"
            tally.note(Note("job/hook", "callback.request", f"/{names[0]}", words, fact), place)

    def _outcome(self, endpoint: str, story: _Story, data: dict[str, Any]) -> list[Note]:
        notes = self._image(endpoint, data.get("imageUrl"))
        ordered = story.ordered or {}
        mode = str(ordered.get("mode"))
        known = self._product["modes"].get(mode)
        if known is not None:
            notes += self._price(endpoint, mode, known, data.get("quota"))
            notes += _echo(endpoint, "mode", known["reported_as"], data.get("mode"), _about(mode, known, "reported_as"))
        prompt = ordered.get("prompt")
        if prompt is not None:
            fact = self._fact("data", "prompt")
            notes += _echo(endpoint, "prompt", prompt, data.get("prompt"), fact)
        if story.endpoint is Endpoint.GENERATE and "size" in ordered and "aspect_ratio" not in ordered:
            fact = self._fact("data", "size")
            notes += _echo(endpoint, "size", ordered["size"], data.get("size"), fact)
        return notes

    def _image(self, endpoint: str, url: object) -> list[Note]:
        if not isinstance(url, str):
            return []
        try:
            parts = urlsplit(url)
        except ValueError:
            return []
        fact = Fact("product.json", "/origins/images", ("S1",), Confidence.OBSERVED)
        notes = []
        if parts.netloc not in {self._images, self._host}:  # an emulator has its images itself
            words = f"expected an image at {self._images}, got one at {parts.hostname}"
            notes.append(Note("job/image-host", endpoint, "/data/imageUrl", words, fact))
        return notes

    def _price(self, endpoint: str, mode: str, known: dict[str, Any], quota: object) -> list[Note]:
        try:
            charged = Decimal(quota if isinstance(quota, str) else str(quota))
        except InvalidOperation:
            return []
        if charged == Decimal(known["price"]):
            return []
        words = f"{mode}: expected {known['price']} quota units, got {charged}"
        return [Note("job/price", endpoint, "/data/quota", words, _about(mode, known, "price"), as_example(quota))]

    def _fact(self, *path: str) -> Fact:
        """Return what the contract says of a field of a job that has succeeded."""
        done = kind(self._version, "fetch.response").alternative({"status": JobState.SUCCESS.value})
        return done.fact(path) if done is not None else NOTHING

    def _end(self, story: _Story, tally: Tally) -> None:
        if story.state is not None and not story.state.final:
            words = f"the last that was seen is {story.state.value}"
            tally.note(Note("job/unfinished", "fetch.response", "/status", words), story.place)


def _echo(endpoint: str, name: str, expected: object, got: object, fact: Fact) -> list[Note]:
    if got is None or got == expected:
        return []
    words = f"expected {as_example(expected)}" if name in {"mode", "size"} else "expected what was ordered"
    return [Note("job/echo", endpoint, f"/data/{name}", words, fact, as_example(got))]


def _about(mode: str, known: dict[str, Any], what: str) -> Fact:
    sources, confidence = known["x-source"][what], Confidence(known["x-confidence"][what])
    return Fact("product.json", f"/modes/{mode}/{what}", tuple(sources), confidence)


def job_id_of(value: dict[str, Any]) -> str | None:
    """Return the id that a body names, however it spells it; None when it names none."""
    data = value.get("data")
    for place in (data if isinstance(data, dict) else {}, value):
        for name in ("jobId", "job_id"):
            if isinstance(place.get(name), str):
                return str(place[name])
    return None
