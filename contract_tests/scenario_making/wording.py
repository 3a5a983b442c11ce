"""What the emulator would have answered where something was recorded, with stand-ins for what is each run's own."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any

import orjson

from contract_tests.exchanges import Endpoint
from contract_tests.scenario_making.remarks import Remarks
from contract_tests.scenario_making.stories import Job
from contract_tests.secrets import SHORTEST
from mock_server.contract import Contract
from mock_server.identity import Source
from mock_server.model import Job as Made
from mock_server.model import JobState, Order, Plan
from mock_server.product import load_product
from mock_server.render import Renderer, refused

JOB_ID = "00000000-0000-4000-8000-000000000000"
"""Stands for the id of the job that a message is about."""

OTHER_ID = "00000000-0000-4000-8000-000000000001"
"""Stands for the id of another job."""

HOOK_URL = "http://client.invalid/hook"
"""Stands for every hook URL."""

NOWHERE = "http://127.0.0.1:9"
"""Stands for the origin of every image URL: nobody answers there, and no other machine is asked."""

_IMAGE = ("data", "imageUrl")
_OWN = (_IMAGE, ("data", "hookUrl"))
_ORDERED = (("data", "mode"), ("data", "prompt"), ("data", "quota"), ("data", "size"))


class Mask:
    """
    Puts stand-ins for what must not be copied out of a recording: ids of jobs and hook URLs.

    Args:
        jobs: those that were recorded.
        hook_urls: that were seen; the secret of one may well be its path.
    """

    def __init__(self, jobs: Iterable[Job], hook_urls: Collection[str]) -> None:
        self._hooks = {*hook_urls, *(url.partition("://")[2].partition("/")[2] for url in hook_urls)}
        self._ids = {job.id for job in jobs if job.id}
        known = sorted((text for text in self._hooks | self._ids if len(text) >= SHORTEST), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None

    def text(self, text: str, job_id: str = "") -> str:
        """Return `text`, which is about the job `job_id`, with stand-ins."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda found: self._stand_in(found[0], job_id), text)

    def value(self, value: Any, job_id: str = "") -> Any:
        """Return a JSON value with stand-ins in its texts and names."""
        if isinstance(value, str):
            return self._stand_in(value, job_id) if value in self._ids else self.text(value, job_id)
        if isinstance(value, dict):
            return {self.text(name, job_id): self.value(inner, job_id) for name, inner in value.items()}
        return [self.value(inner, job_id) for inner in value] if isinstance(value, list) else value

    def _stand_in(self, found: str, job_id: str) -> str:
        return HOOK_URL if found in self._hooks else JOB_ID if found == job_id else OTHER_ID


class Wording:
    """
    Words what the emulator would answer.

    Args:
        contract: version that it plays.
        remarks: takes what cannot be expressed.
        null_data: its setting `data` is null.
        own_images: image URLs are its own, whatever form those have that were seen.
    """

    def __init__(self, contract: Contract, remarks: Remarks, *, null_data: bool, own_images: bool) -> None:
        self.contract = contract
        self._remarks = remarks
        self._own_images = own_images
        self._product = load_product()
        self._renderer = Renderer(contract, self._product, Source(0, "").tag, null_data=null_data)

    @property
    def failure(self) -> str:
        """The reason of a failure for which none is given."""
        return self._product.failure

    def submitted(self) -> Any:
        """Return the answer to a submission."""
        return orjson.loads(self._renderer.submitted(self._made(Job(""), "SUCCESS", None)))

    def fetched(self, job: Job, status: str, failure: str | None, seen: Any) -> Any:
        """
        Return the answer to a fetch, or the body of a webhook; what nobody can know of it is as in `seen`.

        Args:
            job: that it is about.
            status: as the contract words it.
            failure: why it failed.
            seen: what was recorded, with stand-ins.
        """
        value = orjson.loads(self._renderer.fetched(self._made(job, status, failure)))
        own = _at(value, _IMAGE)
        for path in (*_OWN, *(() if job.order else _ORDERED)):
            there, came = _at(value, path), _at(seen, path)
            if isinstance(there, str) and isinstance(came, str):
                value["data"][path[-1]] = came
        if job.order is None and isinstance(_at(seen, ("data", "hookUrl")), str) and isinstance(value["data"], dict):
            value["data"]["hookUrl"] = HOOK_URL
        if own is not None and not self._fits(value):
            usual = {**value, "data": {**value["data"], "imageUrl": own}}
            if self._fits(usual):
                return self._with_usual_image(value, usual)
        return value

    def _fits(self, value: Any) -> bool:
        return self.contract.accepts("fetch.response", value)

    def _with_usual_image(self, value: Any, usual: Any) -> Any:
        if self._own_images:
            self._remarks.note("image URLs have another form; the emulator's own have the form that is known")
            return value
        return usual

    def refused(self, status: int) -> bytes:
        """Return the body of a refusal with that HTTP status; empty where the contract knows none."""
        return refused(self.contract, status) if status in self.contract.error_messages else b""

    def _made(self, job: Job, status: str, failure: str | None) -> Made:
        order = self._order(job)
        price = self._product.modes[order.mode].price
        state = JobState(status)
        return Made(JOB_ID, 1, order, Decimal(price), state, Plan(0, 0), 0.0, finished_at=0.0, failure=failure)

    def _order(self, job: Job) -> Order:
        order: Mapping[str, Any] = job.order or {}
        mode = order.get("mode")
        endpoint = Endpoint.GENERATE if job.submission is None else job.submission.endpoint
        size = order.get("size") if endpoint is Endpoint.GENERATE else None
        aspect = order.get("aspect_ratio", self.contract.default_aspect)
        return Order(
            endpoint=endpoint.value,
            prompt=str(order.get("prompt", "")),
            mode=mode if mode in self._product.modes else next(iter(self._product.modes)),
            size=size or self._product.sizes.get(aspect, ""),
            hook_url=HOOK_URL if job.hook_url else None,
            origin=NOWHERE,
        )


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
