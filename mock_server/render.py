"""Words jobs and errors as the API does: the bodies of answers and webhooks."""

from __future__ import annotations

from typing import Any

import orjson

from mock_server.contract import Contract
from mock_server.identity import image_path
from mock_server.model import Job, JobState
from mock_server.product import Product


class Renderer:
    """Words the jobs of one tenant; `null_data` says that a fetch without a result has `data: null`."""

    def __init__(self, contract: Contract, product: Product, tag: bytes, *, null_data: bool) -> None:
        self._contract = contract
        self._product = product
        self._tag = tag
        self._null_data = null_data

    def submitted(self, job: Job) -> bytes:
        """Return the answer to a submission that was accepted."""
        contract = self._contract
        return _json({"status": "SUCCESS", "message": contract.submit_message, "data": {contract.id_field: job.id}})

    def fetched(self, job: Job) -> bytes:
        """Return the answer to a fetch; of a finished job it is also the body of its webhook."""
        contract = self._contract
        data: dict[str, Any] | None
        if job.state is JobState.SUCCESS:
            message, data = contract.success_message, self._result(job)
        elif job.state is JobState.FAILED:
            message, data = job.failure, self._no_result(job)
        else:
            message, data = contract.queued_message, self._no_result(job)
        return _json({"status": self.status(job), "message": message, "jobId": job.id, "data": data})

    def status(self, job: Job) -> str:
        """Return the status as this version words it: 2024-09 knows no PENDING_QUEUE (S1)."""
        if job.state is JobState.PENDING and job.state not in self._contract.queued_statuses:
            return JobState.RUNNING.value
        return job.state.value

    def image_url(self, job: Job) -> str:
        """Return where the image of a job that succeeded is."""
        return job.order.origin + image_path(self._tag, job.id, job.finished_at or 0.0)

    def _result(self, job: Job) -> dict[str, Any]:
        order = job.order
        return {
            "mode": self._product.modes[order.mode].reported_as,
            "jobId": job.id,
            "prompt": order.prompt,
            "quota": str(job.price),
            "size": order.size,
            "imageUrl": self.image_url(job),
            "hookUrl": order.hook_url,
        }

    def _no_result(self, job: Job) -> dict[str, Any] | None:
        if self._null_data:
            return None
        data: dict[str, Any] = dict.fromkeys(self._contract.result_fields)
        return data | {"jobId": job.id, "prompt": job.order.prompt, "hookUrl": job.order.hook_url}


def _json(value: dict[str, Any]) -> bytes:
    # A copy: what orjson returns keeps its 4 kB buffer, and the journal and deliveries keep the bytes.
    return bytes(memoryview(orjson.dumps(value)))


def refused(contract: Contract, status: int) -> bytes:
    """Return the envelope of a refusal with that HTTP status (S2)."""
    return _json({"status": "FAILED", "message": contract.error_messages[status], "data": None})
