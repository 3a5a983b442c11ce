"""Follows jobs through a recording: do their messages agree with each other, and with what was ordered?"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import cache, lru_cache
from typing import Any
from urllib.parse import urlsplit

import msgspec

from contract_tests.exchanges import CALLBACK, EDITS, FETCH, GENERATE, IMAGE, Endpoint, Exchange, Place
from contract_tests.findings import NOTHING, Confidence, Fact, Note, Tally, as_example
from contract_tests.messages import Parsed, is_submission
from contract_tests.moments import Moment, are_two, moment_of
from contract_tests.shapes import kind, pointer_of
from contract_tests.times import JobTimes, When, note_fetch, note_order, note_webhook
from mock_server import resources
from mock_server.engine import TRANSITIONS
from mock_server.model import JobState

MOST_JOBS = 50_000
"""Jobs that are followed at once. The oldest is let go for a new one, so that memory stays flat."""
MOST_BYTES = 32 * 1024 * 1024
"""Bytes of bodies that are kept of all of them: a prompt may have a megabyte."""

_MOST_IMAGE_HOSTS = 100
_COME_AGAIN = frozenset({408, 425, 429})
# The statuses below 500 that say nothing of the image itself.

_STATES = frozenset(state.value for state in JobState)
_FINAL = frozenset(state.value for state in JobState if state.final)
_SUCCESS = JobState.SUCCESS.value


def _reachable() -> frozenset[tuple[str, str]]:
    """Return all pairs of states of which the second can be seen after the first, however rarely somebody looks."""
    pairs = {(origin, target) for (origin, _), target in TRANSITIONS.items()} | {(state, state) for state in JobState}
    for middle in JobState:
        pairs |= {(a, d) for a, b in pairs for c, d in pairs if b is c is middle}
    return frozenset((first.value, second.value) for first, second in pairs)


_REACHABLE = _reachable()


class _Story(msgspec.Struct, gc=False):
    place: Place
    ordered: dict[str, Any] | None = None
    endpoint: Endpoint | None = None
    ordered_at: Moment | None = None
    state: str | None = None
    state_at: Moment | None = None
    images: dict[bool, str] = {}  # what the first final fetch says, and the first webhook
    fetched: Any = None
    hooked: Any = None
    kept: int = 0
    when: When = {}


_Seen = tuple[Place, str]
# Where something was seen: the place, and the kind of message.


class JobBook:
    """
    The jobs of one host.

    Versions of the contract differ in what they say of a field, and never in what a job may do; so one book serves
    them all.

    Args:
        host: with its port; images may lie there, as those of an emulator do.
        tallies: by version, where what is found is counted, each time with what that version says about it.

    Attributes:
        seen: how many jobs there were.
        let_go: how many were let go before the end of the recording.
        times: how long they took.
    """

    def __init__(self, host: str, tallies: Mapping[str, Tally]) -> None:
        self._tallies = tallies
        self._image_hosts = image_host(), host  # an emulator has its own
        self._other_image_hosts: set[str] = set()
        self._image_origins = tuple(f"{scheme}://{name}/" for scheme in ("https", "http") for name in self._image_hosts)
        self._stories: dict[str, _Story] = {}
        self._ended_at: dict[str, Moment] = {}  # by the URL of the image, of the jobs that are followed
        self._kept = 0
        self.seen = self.let_go = 0
        self.times = JobTimes()

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._stories

    def note(self, message: Parsed) -> None:
        """Go on with the job that `message` is about."""
        endpoint, status = message.endpoint, message.exchange.status
        if endpoint is IMAGE:
            self._download(message.exchange)
        elif endpoint is CALLBACK:
            if isinstance(message.request, dict):
                self._result(message, message.request, None, hooked=True)
        elif status is not None and 200 <= status < 300 and isinstance(message.response, dict):
            if endpoint is FETCH:
                asked = message.request.get("jobId") if message.request else None
                self._result(message, message.response, asked, hooked=False)
            elif is_submission(endpoint):
                self._submission(message)

    def has_images_at(self, host: str) -> bool:
        """Whether results of jobs lie at `host`, or did in one that was seen."""
        return host in self._image_hosts or host in self._other_image_hosts

    def has_image(self, url: str) -> bool:
        """Whether `url` is where the image of a job lies that is followed."""
        return url in self._ended_at

    def close(self) -> None:
        """End the recording."""
        for story in self._stories.values():
            self._end(story)
        self._stories.clear()
        self._ended_at.clear()

    def _begun(self, job_id: str, place: Place) -> _Story:
        story = self._stories[job_id] = _Story(place)
        self.seen += 1
        if len(self._stories) > MOST_JOBS or self._kept > MOST_BYTES:
            self._make_room()
        return story

    def _make_room(self) -> None:
        while len(self._stories) > MOST_JOBS or (self._kept > MOST_BYTES and len(self._stories) > 1):
            self._let_go(next(iter(self._stories)))
            self.let_go += 1

    def _let_go(self, job_id: str) -> None:
        story = self._stories.pop(job_id)
        for url in story.images.values():
            self._ended_at.pop(url, None)
        self._kept -= story.kept
        self._end(story)

    def _keep(self, story: _Story, size: int) -> None:
        story.kept += size
        self._kept += size

    def _submission(self, message: Parsed) -> None:
        job_id = job_id_of(message.response)
        if job_id is not None:
            now = moment_of(message.exchange)
            story = self._stories.get(job_id)
            if story is not None and story.ordered_at is not None and are_two(story.ordered_at, now):
                seen = message.exchange.place, message.endpoint.response
                words = "expected an id of its own, got that of another order"
                self._say(seen, "job/reused", words, "data", fact=NOTHING, example=job_id)
                self._let_go(job_id)
                story = None
            if story is None:
                story = self._begun(job_id, message.exchange.place)
            story.ordered, story.endpoint, story.ordered_at = message.request, message.endpoint, now
            self._keep(story, len(message.exchange.request_body or b""))
            note_order(story.when, message.exchange)

    def _result(self, message: Parsed, value: dict[str, Any], asked: object, *, hooked: bool) -> None:
        outer, data, state = value.get("jobId"), value.get("data"), value.get("status")
        job_id = asked if isinstance(asked, str) else outer if isinstance(outer, str) else job_id_of(value)
        if job_id is None:
            return
        place = message.exchange.place
        story = self._stories.get(job_id) or self._begun(job_id, place)
        seen = place, CALLBACK.request if hooked else FETCH.response
        if outer != job_id:
            self._other_id(seen, outer, "jobId")
        if isinstance(data, dict) and data.get("jobId") != job_id:
            self._other_id(seen, data.get("jobId"), "data", "jobId")
        if not isinstance(state, str) or state not in _STATES:
            return
        before = story.state
        if hooked:
            note_webhook(story.when, message.exchange)
        elif state != before or state in _FINAL:
            note_fetch(story.when, state, message.exchange)
        ended = before in _FINAL
        if state != before:
            self._move(seen, story, state, job_id, moment_of(message.exchange), hooked=hooked)
        if state in _FINAL:
            if not ended and state == _SUCCESS and isinstance(data, dict):
                self._outcome(seen, story, data)
            if state == _SUCCESS and isinstance(data, dict):
                self._result_image(seen, story, data.get("imageUrl"), message.exchange, hooked=hooked)
            self._compare(seen, story, message, value, hooked=hooked)

    def _move(self, seen: _Seen, story: _Story, state: str, job_id: str, now: Moment, *, hooked: bool) -> None:
        """Take a job to another state, if `now` is not before it came into the one that it is in."""
        before = story.state
        if not hooked and before is not None and (before, state) not in _REACHABLE:
            # A slow answer is overtaken by another, and files are not read in the order of time: that is no way back.
            if story.state_at is not None and not story.state_at.precedes(now):
                return
            self._say(seen, "job/order", f"{before}, and later {state}", "status", example=job_id)
        if before not in _FINAL:
            story.state, story.state_at = state, now

    def _other_id(self, seen: _Seen, got: object, *path: str) -> None:
        if isinstance(got, str):
            self._say(seen, "job/ids", "expected the id of the job", *path, example=got)

    def _compare(self, seen: _Seen, story: _Story, message: Parsed, value: dict[str, Any], *, hooked: bool) -> None:
        data = value.get("data")
        expects_hook = (
            hooked or (story.ordered or {}).get("hookUrl") or (isinstance(data, dict) and data.get("hookUrl"))
        )
        if not expects_hook:
            return
        if (story.hooked if hooked else story.fetched) is None:
            body = message.exchange.request_body if hooked else message.exchange.response_body
            self._keep(story, len(body or b""))
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
            words = f"the webhook and the final fetch differ in {', '.join(names)}"
            self._say((seen[0], CALLBACK.request), "job/hook", words, names[0], fact=_HOOK_IS_FETCH)

    def _outcome(self, seen: _Seen, story: _Story, data: dict[str, Any]) -> None:
        self._image(seen, data.get("imageUrl"))
        ordered = story.ordered or {}
        mode = str(ordered.get("mode"))
        known = _product()["modes"].get(mode)
        if known is not None:
            self._price(seen, mode, known, data.get("quota"), edited=story.endpoint is EDITS)
            self._echo(seen, "mode", known["reported_as"], data, fact=_about(mode, "reported_as"))
        self._echo(seen, "prompt", ordered.get("prompt"), data)
        if story.endpoint is GENERATE and "aspect_ratio" not in ordered:
            self._echo(seen, "size", ordered.get("size"), data)

    def _image(self, seen: _Seen, url: object) -> None:
        if not isinstance(url, str) or url.startswith(self._image_origins):
            return
        try:
            parts = urlsplit(url)
        except ValueError:
            return
        if parts.netloc not in self._image_hosts:
            if len(self._other_image_hosts) < _MOST_IMAGE_HOSTS:
                self._other_image_hosts.add(parts.netloc.rpartition("@")[2].lower())
            words = f"expected an image at {self._image_hosts[0]}, got one at {parts.hostname}"
            self._say(seen, "job/image-host", words, "data", "imageUrl", fact=_IMAGES)

    def _result_image(self, seen: _Seen, story: _Story, url: object, exchange: Exchange, *, hooked: bool) -> None:
        if not isinstance(url, str):
            return
        first = story.images.get(hooked)
        if first is None:
            story.images[hooked] = url
            self._ended_at.setdefault(url, moment_of(exchange))
            self._keep(story, len(url))
        elif first != url and not hooked:
            self._say(seen, "job/result", "expected the image of the first fetch", "data", "imageUrl", example=url)

    def _download(self, exchange: Exchange) -> None:
        status = exchange.status
        if status is None or status < 400:
            return
        seen = exchange.place, FETCH.response
        if status >= 500 or status in _COME_AGAIN:
            words = f"expected an image there, got status {status}"
            self._say(seen, "job/image-failed", words, "data", "imageUrl", fact=NOTHING)
            return
        ended = self._ended_at.get(exchange.url)
        age = None if ended is None else ended.seconds_until(moment_of(exchange))
        life = _product()["image_days"]
        if age is not None and age >= life["value"] * 86400:
            return
        words = f"expected an image there for {life['value']} days, got status {status}"
        fact = Fact("product.json", "/image_days", tuple(life["x-source"]), Confidence(life["x-confidence"]))
        if age is None:  # nobody can tell whether its month was over: that it was not is assumed
            fact = fact._replace(sources=(), confidence=Confidence.ASSUMED)
        self._say(seen, "job/image-gone", words, "data", "imageUrl", fact=fact)

    def _price(self, seen: _Seen, mode: str, known: dict[str, Any], quota: object, *, edited: bool) -> None:
        charged = _amount(str(quota))
        if charged is not None and charged != _amount(str(known["price"])):
            words = f"{mode}: expected {known['price']} quota units, got {charged}"
            fact = _about(mode, "price")
            if edited:
                # No source gives prices of edits: that they cost what a generation costs is assumed.
                fact = fact._replace(sources=(), confidence=Confidence.ASSUMED)
            self._say(seen, "job/price", words, "data", "quota", fact=fact, example=quota)

    def _echo(
        self, seen: _Seen, name: str, expected: object, data: dict[str, Any], *, fact: Fact | None = None
    ) -> None:
        got = data.get(name)
        if got != expected and got is not None and expected is not None:
            words = f"expected {as_example(expected)}" if name in {"mode", "size"} else "expected what was ordered"
            self._say(seen, "job/echo", words, "data", name, fact=fact, example=got)

    def _end(self, story: _Story) -> None:
        self.times.add(story.when)
        if story.state is not None and story.state not in _FINAL:
            words = f"the last that was seen is {story.state}"
            seen = story.place, FETCH.response
            self._say(seen, "job/unfinished", words, "status", fact=NOTHING)

    def _say(
        self, seen: _Seen, rule: str, words: str, *path: str, fact: Fact | None = None, example: object = ...
    ) -> None:
        """Count a finding at `path`; without a `fact` it breaks what the contract says of a job that has succeeded."""
        place, message = seen
        shown = "" if example is ... else as_example(example)
        for version, tally in self._tallies.items():
            said = _said_of(version, path) if fact is None else fact
            tally.note(Note(rule, message, pointer_of(path), words, said, shown), place)


_HOOK_IS_FETCH = Fact("callback.request.json", "", ("S3", "S5"), Confidence.DOCUMENTED)
_IMAGES = Fact("product.json", "/origins/images", ("S1",), Confidence.OBSERVED)


@lru_cache(maxsize=1024)
def _amount(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


@cache
def _said_of(version: str, path: tuple[str, ...]) -> Fact:
    """Return what a version of the contract says of a field of a job that has succeeded."""
    done = kind(version, FETCH.response).alternative({"status": _SUCCESS})
    return done.fact(path) if done is not None else NOTHING


@cache
def _about(mode: str, what: str) -> Fact:
    """Return what the contract says of the price of a mode, or of its name in results."""
    known = _product()["modes"][mode]
    sources, confidence = known["x-source"][what], Confidence(known["x-confidence"][what])
    return Fact("product.json", f"/modes/{mode}/{what}", tuple(sources), confidence)


@cache
def _product() -> Any:
    return resources.load("product.json")


def image_host() -> str:
    """Return the host at which the contract says that images lie."""
    origin: str = _product()["origins"]["images"]
    return urlsplit(origin).netloc


def job_id_of(value: dict[str, Any]) -> str | None:
    """Return the id that a body names, however it spells it; None when it names none."""
    data = value.get("data")
    found = _id_in(data) if isinstance(data, dict) else None
    return _id_in(value) if found is None else found


def _id_in(holder: dict[str, Any]) -> str | None:
    found = holder.get("jobId")
    if not isinstance(found, str):
        found = holder.get("job_id")
    return found if isinstance(found, str) else None
