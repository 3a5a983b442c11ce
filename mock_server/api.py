"""The endpoints of the TTAPI Flux API: a plain request in, a plain answer out, noted in the journal.

Flask and the fast lane both end here, so that they cannot differ.
"""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import Any

from mock_server import bodies, diagnose, render
from mock_server.bodies import FORM, JSON, MULTIPART, FilePart, Form
from mock_server.errors import ApiError, UnknownJob, WorldReset
from mock_server.exchange import Answer, Call, Upload, shortened, shown
from mock_server.model import Order
from mock_server.scenarios import twisting
from mock_server.scenarios.rules import Target
from mock_server.tenant import Tenant
from mock_server.world import World

_log = logging.getLogger("fluxmock.api")

_MOST_LOOKED_AT = 4
# Of several images the first is drawn, and a few more are checked; to check them all could keep a worker for minutes.

METHODS: dict[str, tuple[str, ...]] = {
    "/flux/generate": ("POST",),
    "/flux/edits": ("POST",),
    "/flux/fetch": ("POST", "GET"),
}
"""What each path takes. A HEAD is answered as its GET, without the body."""


class Api:
    """Answers the calls of clients to `world`."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._handlers = {
            "/flux/generate": self._generate,
            "/flux/edits": self._edits,
            "/flux/fetch": self._fetch,
        }

    def answer(self, call: Call) -> Answer:
        """Answer any call, and note it. Never raises: what goes wrong is an answer too."""
        tenant = self.world.find(call.header("TT-API-KEY"), make=call.path in METHODS)
        # An auto clock moves on while it answers: what was asked, was asked before that.
        at = (self.world if tenant is None else tenant).clock.now()
        try:
            try:
                answer = self._dispatch(tenant, call)
            except WorldReset:
                tenant = self.world.find(call.header("TT-API-KEY"))
                answer = self._dispatch(tenant, call)
        except ApiError as error:
            answer = self._refusal(call, error)
        except Exception:  # noqa: BLE001 - whatever it was, the client must not be left without an answer
            _log.exception("%s %s failed", call.method, call.path)
            answer = self._refusal(call, ApiError(500, "this is a fault of fluxmock, not of your request; see the log"))
        return self._noted(tenant, call, answer, at)

    def refuse(self, call: Call, error: ApiError) -> Answer:
        """Answer a call that was refused before it came here, and note it."""
        tenant = self.world.find(call.header("TT-API-KEY"), make=False)
        at = (self.world if tenant is None else tenant).clock.now()
        return self._noted(tenant, call, self._refusal(call, error), at)

    def _dispatch(self, tenant: Tenant | None, call: Call) -> Answer:
        methods = METHODS.get(call.path)
        if methods is None:
            raise ApiError(404, diagnose.unknown_path(call, METHODS))
        if call.method not in methods and not (call.method == "HEAD" and "GET" in methods):
            raise ApiError(405, diagnose.wrong_method(call, methods), (("Allow", ", ".join(methods)),))
        if tenant is None:
            raise ApiError(401, diagnose.missing_key(call, self.world.settings.key))
        tenant.admit()
        return self._handlers[call.path](tenant, call)

    def _refusal(self, call: Call, error: ApiError) -> Answer:
        status, explanation = error.status, error.explanation
        if status in {400, 415} and (disguise := diagnose.disguised_body(call)):
            status, explanation = 400, disguise
        body = render.refused(self.world.contract, status)
        return Answer(status, body, list(error.headers), explanation)

    def _noted(self, tenant: Tenant | None, call: Call, answer: Answer, at: float) -> Answer:
        if answer.explanation:
            answer.explanation = shortened(answer.explanation)
        if tenant is None:
            self.world.strays.note_request(at, call, answer)
        else:
            tenant.journal.note_request(at, call, answer)
        return answer

    # POST /flux/generate

    def _generate(self, tenant: Tenant, call: Call) -> Answer:
        if call.content_type == JSON:
            return self._submit(tenant, call, "generate", bodies.read_json(_not_too_long(call)))
        form = _read_body(call, takes=(JSON, FORM, MULTIPART))
        return self._submit(tenant, call, "generate", form.fields, _repeats(form), form.files)

    # POST /flux/edits

    def _edits(self, tenant: Tenant, call: Call) -> Answer:
        if bodies.media_type(call.content_type) in {JSON, FORM} and not diagnose.disguised_body(call):
            raise ApiError(400, diagnose.NO_UPLOAD)
        form = _read_body(call, takes=(MULTIPART,))
        parts = [part for part in form.files if part.name == "image"]
        values = dict(form.fields)
        if parts:
            values["image"] = [
                {"filename": part.filename, "content_type": part.content_type, "bytes": len(part.data)}
                for part in parts
            ]
        remarks = _repeats(form) + tuple(
            f"file part {shown(part.name)} is ignored" for part in form.files if part.name != "image"
        )
        answer = self._submit(tenant, call, "edits", values, remarks, form.files)
        answer.uploads = tuple(
            Upload(part.name, part.filename, part.content_type, len(part.data)) for part in form.files
        )
        return answer

    def _submit(
        self,
        tenant: Tenant,
        call: Call,
        endpoint: str,
        values: dict[str, Any],
        remarks: tuple[str, ...] = (),
        files: tuple[FilePart, ...] = (),
    ) -> Answer:
        schema = f"{endpoint}.request"
        self._check(tenant, schema, values, files)
        hook_url = values.get("hookUrl")
        if hook_url is not None and not tenant.postman.has_app_for(hook_url):
            trouble = self.world.hook_rules.problem_with_url(hook_url)
            if trouble:
                raise ApiError(400, trouble)
        order = Order(
            endpoint=endpoint,
            prompt=values["prompt"],
            mode=sys.intern(values["mode"]),
            size=self._size(tenant, endpoint, values),
            hook_url=hook_url,
            origin=tenant.settings.public_url or sys.intern(call.origin),
            upload=_kept_upload(files) if endpoint == "edits" else None,
        )
        turn = tenant.turn(Target(endpoint), order)
        if twisting.spared(turn):
            return twisting.twisted(turn, twisting.refusal(turn, tenant.contract))
        job = tenant.submit(order)
        remarks += diagnose.lint(tenant.contract, schema, values)
        if (name := tenant.director.unknown_magic(order)) is not None:
            remarks += (f"[mock:{name}] in the prompt is no ready-made scenario: fluxmock scenarios list",)
        answer = twisting.twisted(turn, Answer(200, tenant.renderer.submitted(job), lint=remarks, job_id=job.id))
        arrival = tenant.arrival(job) if hook_url is not None else None
        return answer if arrival is None else twisting.held_back(answer, arrival)

    def _size(self, tenant: Tenant, endpoint: str, values: dict[str, Any]) -> str:
        if endpoint == "generate" and "size" in values:
            return sys.intern(values["size"])
        return tenant.product.sizes[values.get("aspect_ratio", tenant.contract.default_aspect)]

    # /flux/fetch

    def _fetch(self, tenant: Tenant, call: Call) -> Answer:
        values: dict[str, Any] = {}
        remarks: tuple[str, ...] = ()
        if call.body and call.content_type == JSON:
            values = bodies.read_json(_not_too_long(call))
        elif call.body and (call.method == "POST" or bodies.media_type(call.content_type) == JSON):
            form = _read_body(call, takes=(JSON, MULTIPART, FORM))
            values, remarks = form.fields, _repeats(form)
            if "jobId" not in values and any(part.name == "jobId" for part in form.files):
                raise ApiError(400, "jobId came as a file: send it as a plain field (requests: data=)")
        if call.query:
            form = bodies.read_urlencoded(call.query.encode("latin-1", "replace"), "query")
            if values.get("jobId", form.fields.get("jobId")) != form.fields.get("jobId", values.get("jobId")):
                remarks += ("the query has another jobId than the body: that of the body counts (assumed)",)
            values, remarks = form.fields | values, remarks + _repeats(form)
        self._check(tenant, "fetch.request", values)
        job_id: str = values["jobId"]
        try:
            job = tenant.job(job_id)
        except UnknownJob:
            raise ApiError(404, self._whose(tenant, job_id)) from None
        with tenant.lock:  # the status that a rule goes by is the one that is answered
            turn = tenant.turn(Target.FETCH, job.order, job)
            if twisting.spared(turn):
                # Not carried out: the fetch moves neither the job nor the clock.
                return twisting.twisted(turn, replace(twisting.refusal(turn, tenant.contract), job_id=job_id))
            job = tenant.fetch(job_id)
        if len(values) > 1:
            remarks += diagnose.lint(tenant.contract, "fetch.request", values)
        body = tenant.renderer.fetched(job)
        return twisting.twisted(turn, Answer(200, body, lint=remarks, job_id=job_id))

    def _whose(self, tenant: Tenant, job_id: str) -> str:
        if job_id in diagnose.NO_IDS:
            return f"jobId is {job_id!r}, so no id was read: contract {tenant.contract.version} answers it as " + (
                f"data.{tenant.contract.id_field}"
            )
        if self.world.owner(job_id) is not None:
            return f"job {job_id} belongs to another API key: fetch it with the key that submitted it"
        tidy = job_id.strip().strip("\"'").lower()
        if tidy != job_id and tidy in tenant.store.jobs:
            return f"there is no job {shown(job_id)}, but there is {tidy}: send the id unchanged"
        return (
            f"this key has no job {shown(job_id)} ({tenant.store.submitted} submitted): a restart of the server, or a "
            f"reset, forgets jobs"
        )

    def _check(self, tenant: Tenant, schema: str, values: dict[str, Any], files: tuple[FilePart, ...] = ()) -> None:
        if not tenant.contract.accepts(schema, values):
            problems = tenant.contract.problems(schema, values)
            raise ApiError(
                400, diagnose.fields(tenant.contract, schema, problems, values, [part.name for part in files])
            )


def _read_body(call: Call, *, takes: tuple[str, ...]) -> Form:
    kind = bodies.media_type(call.content_type)
    if kind not in takes:
        raise ApiError(415, diagnose.wrong_type(call, takes=takes))
    if kind != MULTIPART:
        _not_too_long(call)
    if kind == JSON:
        return Form(bodies.read_json(call.body))
    if kind == FORM:
        return bodies.read_urlencoded(call.body)
    form = bodies.read_multipart(call.content_type, call.body)
    # The journal keeps the beginning of a body only, which may be an image.
    call.fields = form.fields
    return form


def _not_too_long(call: Call) -> bytes:
    if len(call.body) > bodies.MAX_TEXT_BYTES:
        size = len(call.body)
        raise ApiError(413, f"expected at most {bodies.MAX_TEXT_BYTES} bytes in a body without files, got {size}")
    return call.body


def _repeats(form: Form) -> tuple[str, ...]:
    return tuple(f"field {shown(name)} came more than once: the last one counts" for name in form.repeated[:5])


def _kept_upload(files: tuple[FilePart, ...]) -> bytes:
    # Pillow takes 40 ms to import, and only uploads and drawing need it.
    from mock_server.images.uploads import UnusableImage, normalise

    first, *others = [part.data for part in files if part.name == "image"]
    try:
        kept = normalise(first)
        for image in others[: _MOST_LOOKED_AT - 1]:
            normalise(image)
    except UnusableImage as error:
        raise ApiError(400, f"image: {error}") from None
    return kept
