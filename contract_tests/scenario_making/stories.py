"""Sorts what was recorded by job: submissions, fetches, webhooks, downloads, in the order in which they began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from contract_tests.exchanges import Endpoint
from contract_tests.jobs import job_id_of
from contract_tests.messages import Parsed, is_submission
from contract_tests.scenario_making.remarks import Remarks
from mock_server.api import METHODS
from mock_server.contract import Contract

MOST_JOBS = 200
"""Jobs that a scenario is made of; what comes after them is left out, and said."""


@dataclass(slots=True)
class Job:
    """
    What was recorded of one job.

    Args:
        id: as the API named it; "" when no answer told.
        submission: the call that made it; None when that was not recorded.
        number: that the emulator will give it, counted from 1.
    """

    id: str
    submission: Parsed | None = None
    number: int = 0
    fetches: list[Parsed] = field(default_factory=list)
    hooks: list[Parsed] = field(default_factory=list)
    images: list[Parsed] = field(default_factory=list)

    @property
    def order(self) -> Mapping[str, Any] | None:
        """The fields that were submitted; None when they are not known."""
        request = None if self.submission is None else self.submission.request
        return request if isinstance(request, Mapping) else None

    @property
    def hook_url(self) -> str | None:
        """The hook URL that was submitted, or None."""
        url = (self.order or {}).get("hookUrl")
        return url if isinstance(url, str) else None


@dataclass(frozen=True, slots=True)
class Told:
    """
    A recording, sorted.

    Args:
        jobs: in the order of their numbers.
        submissions: those that a scenario counts, each with the job that it made.
        hooks_seen: whether any webhook was recorded.
    """

    jobs: tuple[Job, ...]
    submissions: tuple[tuple[Parsed, Job | None], ...]
    hooks_seen: bool


def sort_out(messages: Sequence[Parsed], contract: Contract, remarks: Remarks) -> Told:
    """Return the jobs and submissions in what was recorded."""
    return _Sorting(contract, remarks).told(in_time(messages))


def in_time(messages: Sequence[Parsed]) -> list[Parsed]:
    """Return messages in the order in which they began; as they were recorded, where that is not known of all."""
    if any(message.exchange.at is None for message in messages):
        return list(messages)
    return sorted(messages, key=lambda message: message.exchange.at or 0.0)


class _Sorting:
    def __init__(self, contract: Contract, remarks: Remarks) -> None:
        self._contract = contract
        self._remarks = remarks
        self._jobs: dict[str, Job] = {}
        self._nameless: list[Job] = []
        self._submissions: list[tuple[Parsed, Job | None]] = []
        self._order: dict[int, int] = {}

    def told(self, messages: list[Parsed]) -> Told:
        self._order = {id(message): index for index, message in enumerate(messages)}
        with_key = any("tt-api-key" in message.exchange.request_headers for message in messages)
        counted = [message for message in messages if not self._is_refused_anyway(message, with_key=with_key)]
        for message in counted:
            if is_submission(message.endpoint):
                self._submission(message)
        for message in counted:
            if message.endpoint is Endpoint.FETCH:
                self._fetch(message)
        hooks = [message for message in messages if message.endpoint is Endpoint.CALLBACK]
        for known in (True, False):
            for message in hooks:
                self._hook(message, known=known)
        self._images(message for message in messages if message.endpoint is Endpoint.IMAGE)
        jobs = self._numbered()
        kept = set(map(id, jobs))
        submissions = [(message, job) for message, job in self._submissions if job is None or id(job) in kept]
        return Told(jobs, tuple(submissions), bool(hooks))

    def _is_refused_anyway(self, message: Parsed, *, with_key: bool) -> bool:
        """Whether the emulator refuses a request by itself, before it looks into a scenario."""
        endpoint, exchange = message.endpoint, message.exchange
        if endpoint in {Endpoint.CALLBACK, Endpoint.IMAGE, Endpoint.ERROR}:
            return False
        if exchange.method not in METHODS[f"/flux/{endpoint}"]:
            return True
        if exchange.status == 401 and with_key and "tt-api-key" not in exchange.request_headers:
            return True
        if message.request is None:
            return exchange.status in {400, 413, 415}
        if self._contract.accepts(f"{endpoint}.request", message.request):
            return False
        if exchange.status is not None and exchange.status < 300:
            self._remarks.note(
                f"{endpoint}: a request was accepted that contract {self._contract.version} forbids; the emulator "
                "answers it 400",
                exchange.place,
            )
        return True

    def _submission(self, message: Parsed) -> None:
        status, value = message.exchange.status, message.response
        made: Job | None = None
        if status is not None and 200 <= status < 300 and not _says_failed(value):
            job_id = job_id_of(value) if isinstance(value, dict) else None
            made = Job(job_id or "", message)
            if job_id is None:
                self._nameless.append(made)
            else:
                self._jobs[job_id] = made
        self._submissions.append((message, made))

    def _fetch(self, message: Parsed) -> None:
        asked = message.request.get("jobId") if isinstance(message.request, dict) else None
        value = message.response
        job_id = asked if isinstance(asked, str) else job_id_of(value) if isinstance(value, dict) else None
        if job_id is None:
            self._remarks.note("fetch: nobody can tell which job was asked for", message.exchange.place)
            return
        job = self._jobs.get(job_id)
        if job is None:
            if message.exchange.status == 404:
                return  # so the emulator answers of itself
            job = self._nameless.pop(0) if self._nameless else Job("")
            job.id = job_id
            self._jobs[job_id] = job
        job.fetches.append(message)

    def _hook(self, message: Parsed, *, known: bool) -> None:
        """Give a webhook to its job; those that name one go first."""
        value, url = message.request, message.exchange.url
        job_id = job_id_of(value) if isinstance(value, dict) else None
        if (job_id is not None) is not known:
            return
        job = self._jobs.get(job_id) if job_id is not None else self._job_of_url(url, message)
        if job is None and job_id is not None:
            job = self._made_after_all(url) or Job("")
            job.id = job_id
            self._jobs[job_id] = job
        if job is None:
            self._remarks.note("hook: nobody can tell which job it was about", message.exchange.place)
            return
        job.hooks.append(message)
        job.hooks.sort(key=lambda one: self._order[id(one)])

    def _job_of_url(self, url: str, message: Parsed) -> Job | None:
        begun = message.exchange.place.number
        jobs = [
            job
            for job in self._jobs.values()
            if job.hook_url == url and job.submission is not None and job.submission.exchange.place.number < begun
        ]
        return min(jobs, key=lambda job: len(job.hooks), default=None)

    def _made_after_all(self, url: str) -> Job | None:
        """Return the job of a submission that seemed to have failed, although a webhook of it came."""
        for index, (message, made) in enumerate(self._submissions):
            failed = message.exchange.status is None or message.exchange.status >= 500
            if made is None and failed and isinstance(message.request, dict) and message.request.get("hookUrl") == url:
                job = Job("", message)
                self._submissions[index] = (message, job)
                return job
        return None

    def _images(self, messages: Iterable[Parsed]) -> None:
        owners = {
            urlsplit(url).path: job
            for job in self._jobs.values()
            for seen in (*job.fetches, *job.hooks)
            if (url := _image_url(seen)) is not None
        }
        for message in messages:
            job = owners.get(urlsplit(message.exchange.url).path)
            if job is not None:
                job.images.append(message)
            elif message.exchange.status not in {200, 206, 304}:
                self._remarks.note("image: nobody can tell which job it was of", message.exchange.place)

    def _numbered(self) -> tuple[Job, ...]:
        submitted = [job for _, job in self._submissions if job is not None]
        others = [job for job in self._jobs.values() if job.submission is None]
        for job in others:
            first = (*job.fetches, *job.hooks)[0]
            self._remarks.note("a job's submission is not recorded: it counts after the others", first.exchange.place)
        jobs = (*submitted, *others)
        if len(jobs) > MOST_JOBS:
            self._remarks.note(f"only the first {MOST_JOBS} of {len(jobs)} jobs are in it")
        for number, job in enumerate(jobs, 1):
            job.number = number
        return jobs[:MOST_JOBS]


def _says_failed(value: Any) -> bool:
    return isinstance(value, dict) and value.get("status") == "FAILED" and job_id_of(value) is None


def _image_url(message: Parsed) -> str | None:
    value = message.request if message.endpoint is Endpoint.CALLBACK else message.response
    data = value.get("data") if isinstance(value, dict) else None
    url = data.get("imageUrl") if isinstance(data, dict) else None
    return url if isinstance(url, str) else None
