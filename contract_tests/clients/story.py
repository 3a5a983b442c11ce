"""One client, one scenario, and all that happened: what every property of clients is judged by. Pure data.

Times are seconds since the start, on the clock that the client lived on. Whether a client was simulated or run as a
command of its own, a story is what comes of it.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Any

from contract_tests.clients.directives.base import Directive, Family
from contract_tests.exchanges import Endpoint
from mock_server.model import Job, JobState

_SUBMISSIONS = frozenset({Endpoint.GENERATE, Endpoint.EDITS})


class Ending(StrEnum):
    """How a client's call ended."""

    RETURNED = "returned"
    """It says that it has the image."""
    FAILED = "failed"
    """It says that it does not: it raised, or its exit code was not 0."""
    HUNG = "hung"
    """It never said anything."""


@dataclass(frozen=True, slots=True)
class Intent:
    """
    What the user of a client wants: one image.

    Args:
        api_key: the key that the client is given; nobody but the API may ever see it.
        prompt: what the image is to show.
        mode: of the API.
        mode_told: whether the client was told the mode, so that to order another is its fault.
        image: bytes of a file to edit; None generates.
        filename: the name of that file.
        hook_url: where results are to be sent; None for nowhere.
    """

    api_key: str
    prompt: str
    mode: str
    mode_told: bool = False
    image: bytes | None = None
    filename: str = "cat.png"
    hook_url: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What came of an intent, as the client says.

    Args:
        ending: how it ended.
        at: when, in seconds since the start.
        value: what it returned: the bytes of an image, its URL, or whatever else; None if it failed.
        error: why it failed, in its own words; for one that hung, what it was waiting for.
        output: what it printed and logged, and the whole of its traceback.
        image: the bytes of the image that it returned, or in the file whose path it returned; None for neither.
        overran: whether it was ended for its many requests, so that nobody knows how long it would have gone on.
    """

    ending: Ending
    at: float
    value: object = None
    error: str = ""
    output: str = field(default="", repr=False)
    image: bytes | None = field(default=None, repr=False)
    overran: bool = False


@dataclass(frozen=True)
class Request:
    """
    One request that the server got whole, and its answer.

    Args:
        number: counts the requests of the story from 1.
        at: when it had arrived, in seconds since the start.
        origin: scheme, host and port that it was sent to.
        endpoint: what it is about; None for none of the API's.
        method: in capitals.
        path: without the query.
        query: what follows the question mark.
        headers: name and value, in the order and the case in which they were sent.
        body: its bytes.
        fields: what was read of it, by name; of a multipart body the plain fields.
        connection: number of the connection.
        raw: all its bytes, as they were sent.
        status: of the answer, as the client was sent it.
        answer_headers: of the answer.
        answer: the body of the answer, before anything was done to it on the wire.
        fault: what was done to the answer on the wire, in words; empty for nothing.
        twisted: whether a rule of the scenario was applied to it.
        whole: whether all of the answer was sent, unharmed.
        answered_at: when the last byte of it was on its way; None if that never came.
        job_id: the job that it made or asked for.
    """

    number: int
    at: float
    origin: str
    endpoint: Endpoint | None
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    fields: Mapping[str, Any]
    connection: int
    raw: bytes
    status: int
    answer_headers: Mapping[str, str]
    answer: bytes
    fault: str
    twisted: bool
    whole: bool
    answered_at: float | None
    job_id: str | None

    @property
    def is_submission(self) -> bool:
        """Whether it orders an image."""
        return self.endpoint in _SUBMISSIONS

    def header(self, name: str) -> str | None:
        """Return the first value of a header, whatever the case."""
        return next((value for other, value in self.headers if other.lower() == name.lower()), None)

    @cached_property
    def answer_json(self) -> Any:
        """The answer as JSON has it; None if it is none."""
        import orjson

        packed = self.answer_headers.get("content-encoding") == "gzip"
        try:
            return orjson.loads(gzip.decompress(self.answer) if packed else self.answer)
        except (ValueError, OSError, EOFError, zlib.error):
            return None


@dataclass(frozen=True, slots=True)
class Connection:
    """
    A connection that the client made, or tried to.

    Args:
        number: counts them from 1.
        origin: where to.
        opened_at: in seconds since the start.
        closed_at: when the client closed it; None if it never did.
        refused: nobody listened there.
    """

    number: int
    origin: str
    opened_at: float
    closed_at: float | None
    refused: bool


@dataclass(frozen=True, slots=True)
class HookCall:
    """
    One webhook, as it was sent to the client's receiver.

    Args:
        number: counts them from 1.
        job_id: whose result it tells; "" for one that is forged.
        body: its bytes, as they were sent.
        content_type: of the body.
        at: when it was sent.
        answered_at: when the receiver had answered; None if it never did.
        status: what it answered.
        error: why there was no answer.
        forged: what is wrong with it, if it does not come from the API; "" for a true one.
    """

    number: int
    job_id: str
    body: bytes
    content_type: str
    at: float
    answered_at: float | None
    status: int | None
    error: str | None
    forged: str = ""

    @property
    def told(self) -> Mapping[str, Any]:
        """The object of JSON that its body is; {} if it is none."""
        return _object(self.body)


@lru_cache(maxsize=64)
def _object(body: bytes) -> Mapping[str, Any]:
    import orjson

    try:
        value = orjson.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Story:
    """
    One client in one scenario.

    Args:
        directives: what the server did; `directives.scenario_of` makes a scenario of them.
        contract: version of the contract that it spoke.
        intents: what was wanted; more than one are wanted at the same time.
        outcomes: what came of each.
        requests: what the server got, in order, from whatever origin.
        connections: how it got them.
        hooks: the webhooks that were sent to the client's receiver.
        jobs: as they stood in the end.
        spent: quota units that they cost, or hold.
        quiet_from: when the client had ended; what comes later, comes from threads or processes that it left behind.
        watched_until: how long the server listened.
        origins: base URLs of the servers, by their role: api, images, hooks, elsewhere.
    """

    directives: Sequence[Directive]
    contract: str
    intents: Sequence[Intent]
    outcomes: Sequence[Outcome]
    requests: Sequence[Request]
    connections: Sequence[Connection]
    hooks: Sequence[HookCall]
    jobs: Sequence[Job]
    spent: Decimal
    quiet_from: float
    watched_until: float
    origins: Mapping[str, str]

    def only(self, *families: Family) -> bool:
        """Whether directives of these families, and of no others, were played."""
        return bool(self.directives) and all(directive.family in families for directive in self.directives)

    @property
    def intent(self) -> Intent:
        """What was wanted, first."""
        return self.intents[0]

    @property
    def outcome(self) -> Outcome:
        """What came of that."""
        return self.outcomes[0]

    @cached_property
    def submissions(self) -> list[Request]:
        """The requests that order an image."""
        return [request for request in self.requests if request.is_submission]

    @cached_property
    def fetches(self) -> list[Request]:
        """The requests that ask how a job goes."""
        return [request for request in self.requests if request.endpoint is Endpoint.FETCH]

    @cached_property
    def downloads(self) -> list[Request]:
        """The requests for an image."""
        return [request for request in self.requests if request.endpoint is Endpoint.IMAGE]

    def job(self, job_id: str | None) -> Job | None:
        """Return the job of that id."""
        return next((job for job in self.jobs if job.id == job_id), None)

    @cached_property
    def succeeded(self) -> list[Job]:
        """The jobs that ended in an image."""
        return [job for job in self.jobs if job.state is JobState.SUCCESS]
