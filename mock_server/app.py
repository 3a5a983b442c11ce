"""create_app(): the Flask application. It translates between Flask and the api, serves images, and words all errors.

It is complete by itself: `flask run`, gunicorn and `test_client()` need nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from hashlib import blake2b
from io import BytesIO
from typing import TYPE_CHECKING

from flask import Flask, Response, request, send_file
from werkzeug.exceptions import HTTPException

from mock_server import diagnose
from mock_server.admin import admin_blueprint, control_error, is_control
from mock_server.api import METHODS, Api
from mock_server.errors import ApiError
from mock_server.exchange import SENT_HOST, Answer, Call, host_of
from mock_server.http.reader import REFUSAL
from mock_server.images import gallery
from mock_server.lane import FastLane, pass_on_wire, status_line
from mock_server.scenarios import twisting
from mock_server.scenarios.rules import Target, Turn
from mock_server.settings import Settings
from mock_server.tenant import Tenant
from mock_server.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]


class EmulatorApp(Flask):
    """The Flask application with the `world` that it serves, the `api` in front of that, and its fast `lane`."""

    world: World
    api: Api
    lane: FastLane


def create_app(settings: Settings | None = None, *, world: World | None = None, fast_lane: bool = True) -> EmulatorApp:
    """
    Build the emulator as a Flask application.

    Args:
        settings: how it behaves; by default as the FLUXMOCK_* variables say.
        world: the tenants to serve; by default new ones.
        fast_lane: answer the hot routes before Flask's routing. The bytes are the same either way.

    Raises:
        SettingsError: a FLUXMOCK_* variable is unusable.
    """
    if world is None:
        world = World(settings or Settings.from_env(os.environ))
    app = EmulatorApp("mock_server", static_folder=None)
    app.world = world
    app.api = api = Api(world)
    app.url_map.merge_slashes = False  # the emulated API redirects nobody
    app.config["MAX_CONTENT_LENGTH"] = world.settings.max_body
    app.config["MAX_FORM_MEMORY_SIZE"] = None

    @app.before_request
    def _server_refused() -> None:
        refusal = request.environ.get(REFUSAL)
        if refusal:
            raise ApiError(400, refusal)

    def flux() -> Response:
        return _response(api.answer(_call(request.get_data())))

    for path in METHODS:
        app.add_url_rule(path, path, flux, methods=_ALL_METHODS, provide_automatic_options=False)

    @app.get("/<date>/<name>.webp")
    def _image(date: str, name: str) -> Response:
        return _send_image(gallery.find(world, date, name))

    @app.get("/")
    def _front_page() -> Response:
        return Response(_FRONT_PAGE.format(origin=request.host_url.rstrip("/")), mimetype="text/plain")

    @app.errorhandler(ApiError)
    def _refused(error: ApiError) -> Response:
        if is_control(request.path):
            return control_error(world, error.status, error.explanation)
        return _response(api.refuse(_call(b""), error))

    @app.errorhandler(HTTPException)
    def _http_error(error: HTTPException) -> Response:
        call = _call(b"")
        if is_control(request.path):
            words, methods = _as_api_error(error, call).explanation, getattr(error, "valid_methods", None)
            return control_error(world, error.code or 500, words, methods or ())
        if error.code == 416:
            return _response(Answer(416, b"", [("Content-Range", error.get_response().headers["Content-Range"])]))
        if error.code == 404 or (call.path in METHODS and error.code == 405):
            return _response(api.answer(call))
        return _response(api.refuse(call, _as_api_error(error, call)))

    def _as_api_error(error: HTTPException, call: Call) -> ApiError:
        if error.code == 405:
            return ApiError(405, diagnose.wrong_method(call, ("GET",)), (("Allow", "GET, HEAD"),))
        if error.code == 413:
            size = request.environ.get("CONTENT_LENGTH") or "more"
            return ApiError(413, f"the body has {size} bytes and --max-body allows {world.settings.max_body}")
        if error.code == 500:
            return ApiError(500, "this is a fault of fluxmock, not of your request; see the log")
        return ApiError(400, f"{error.name}: {error.description}")

    app.register_blueprint(admin_blueprint(world))
    app.lane = FastLane(app.wsgi_app, api, world.settings.max_body)
    inner = app.lane if fast_lane else app.wsgi_app

    def guarded(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # Flask refuses a Host that cannot be one with words of its own. Here it is localhost, though not to control.
        if "HTTP_HOST" in environ:
            environ[SENT_HOST] = environ["HTTP_HOST"]
            environ["HTTP_HOST"] = host_of(environ)
        return inner(environ, start_response)

    app.wsgi_app = guarded  # type: ignore[method-assign]
    return app


def _call(body: bytes) -> Call:
    return Call.from_environ(request.environ, body)


def _response(answer: Answer) -> Response:
    if answer.wire is not None:
        pass_on_wire(request.environ, answer)
    return Response(answer.body, status=status_line(answer.status), headers=answer.wire_headers())


def _send_image(exhibit: gallery.Exhibit) -> Response:
    data = exhibit.bytes()
    if not _is_one_range(request.headers.get("Range", ""), len(data)) or request.method == "HEAD":
        # A server may answer with the whole, and must where the header makes no sense (RFC 9110, 14.2).
        request.environ.pop("HTTP_RANGE", None)
    response = send_file(
        BytesIO(data),
        mimetype="image/webp",
        etag=blake2b(data, digest_size=16).hexdigest(),
        last_modified=exhibit.made_at,
    )
    # The machine's time has no place in an answer that must be the same every time.
    del response.headers["Date"]
    tenant = exhibit.tenant
    turn = tenant.turn(Target.IMAGE, exhibit.job.order, exhibit.job)
    if turn is not None:
        return _twisted_image(tenant, turn, response, exhibit)
    note = Answer(response.status_code, b"", job_id=exhibit.job.id)
    tenant.journal.note_request(tenant.clock.now(), _call(b""), note)
    return response


def _is_one_range(text: str, size: int) -> bool:
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", text.strip())
    if match is None or not any(match.groups()):
        return False
    first, last = match.groups()
    return int(last) <= size if not first else not last or int(first) <= int(last)


def _twisted_image(tenant: Tenant, turn: Turn, response: Response, exhibit: gallery.Exhibit) -> Response:
    response.direct_passthrough = False
    headers = [(name, value) for name, value in response.headers if name != "Content-Length"]
    answer = Answer(response.status_code, response.get_data(), headers, job_id=exhibit.job.id)
    if twisting.spared(turn):
        answer = replace(twisting.refusal(turn, tenant.contract), job_id=exhibit.job.id)
    answer = twisting.twisted(turn, answer)
    tenant.journal.note_request(tenant.clock.now(), _call(b""), replace(answer, body=b""))
    return _response(answer)


_FRONT_PAGE = """fluxmock: an emulator of the TTAPI Flux API. Point your client's base URL at {origin}

  curl {origin}/flux/generate -H 'TT-API-KEY: any-key' -H 'Content-Type: application/json' \\
       -d '{{"prompt": "a cute cat", "mode": "flux1-dev"}}'
  curl '{origin}/flux/fetch?jobId=JOB_ID' -H 'TT-API-KEY: any-key'

What was wrong with a request stands in the header X-Fluxmock-Explain of its answer (curl -i).
"""
