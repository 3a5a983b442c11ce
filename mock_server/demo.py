"""`fluxmock demo`: one whole job, from the first call to the downloaded file, against a server of its own."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.markup import escape

from mock_server.control import TenantControl
from mock_server.http.runner import BackgroundServer
from mock_server.serving import Server
from mock_server.settings import Settings
from mock_server.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_KEY = "demo-key"
_MODE = "flux1-dev"
_POLL_SECONDS = 2.0
_PATIENCE = 30.0


class DemoFailed(Exception):
    """The demo did not get its image; the text says where it stopped."""


class _HookReceiver:
    """A WSGI application that takes webhooks and lets somebody wait for the first one of a job."""

    def __init__(self) -> None:
        self._bodies: dict[str, bytes] = {}
        self._came: dict[str, Event] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body: bytes = environ["wsgi.input"].read()
        job_id = json.loads(body)["jobId"]
        self._bodies[job_id] = body
        self._event(job_id).set()
        start_response("204 No Content", [])
        return []

    def _event(self, job_id: str) -> Event:
        return self._came.setdefault(job_id, Event())

    def wait(self, job_id: str) -> bytes:
        """Return the body of the job's webhook; raises DemoFailed when none comes."""
        if not self._event(job_id).wait(_PATIENCE):
            raise DemoFailed(f"no hook came for job {job_id} within {_PATIENCE:g} s")
        return self._bodies[job_id]


@dataclass(frozen=True, slots=True)
class _Client:
    """Talks to the API as a user's program would, with nothing but the standard library."""

    base_url: str
    key: str

    def post(self, path: str, body: bytes, content_type: str) -> dict[str, Any]:
        """POST and return the JSON that came; raises DemoFailed when it is a refusal."""
        headers = {"TT-API-KEY": self.key, "Content-Type": content_type}
        request = urllib.request.Request(self.base_url + path, body, headers)  # noqa: S310 - our own server
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310
                result: dict[str, Any] = json.load(answer)
                return result
        except urllib.error.HTTPError as error:
            why = error.headers.get("X-Fluxmock-Explain", "")
            raise DemoFailed(f"{path} answered {error.code}: {why}") from None

    def submit(self, path: str, body: bytes, content_type: str) -> str:
        """POST a job and return its id, in whichever spelling the contract has."""
        (job_id,) = self.post(path, body, content_type)["data"].values()
        return str(job_id)

    def fetch(self, job_id: str) -> dict[str, Any]:
        """Return how a job stands."""
        return self.post("/flux/fetch", json.dumps({"jobId": job_id}).encode(), "application/json")

    def download(self, url: str) -> bytes:
        """Return the file at `url`."""
        with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:  # noqa: S310 - our own server
            data: bytes = answer.read()
            return data


class _Timeline:
    """Prints what happens, with the tenant's time since the start."""

    def __init__(self, console: Console, tenant: TenantControl) -> None:
        self.console = console
        self._tenant = tenant
        self._start = tenant.clock.now()

    def note(self, what: str, result: str = "", *, at: float | None = None) -> None:
        """Print one line, with the time `at` or now."""
        seconds = (self._tenant.clock.now() if at is None else at) - self._start
        tail = f"  [bold]{escape(result)}[/]" if result else ""
        self.console.print(f"[dim]{seconds:7.1f} s[/]  {escape(what)}{tail}", highlight=False, soft_wrap=True)


def run_demo(settings: Settings, prompt: str, out: Path | None) -> None:
    """
    Run the demo and print its timeline.

    Args:
        settings: how the server behaves.
        prompt: what to draw.
        out: folder to keep the images in; None keeps none.

    Raises:
        DemoFailed: the job did not come to its end.
    """
    console = Console()
    receiver = _HookReceiver()
    key = settings.key[0] if settings.key else _KEY
    world = World(settings, observer=None)
    with Server(world, "127.0.0.1", 0) as server, BackgroundServer(receiver) as hooks:
        tenant = server.tenant(key)
        line = _Timeline(console, tenant)
        client = _Client(server.url, key)
        pace = f", {tenant.clock.rate:g} times as fast as real ones" if tenant.clock.rate not in {0, 1} else ""
        console.print(
            f"fluxmock at {server.url}, contract {settings.contract}. Seconds are the server's{pace}.", soft_wrap=True
        )

        hook_url = f"{hooks.url}/hook"
        order = {"prompt": prompt, "mode": _MODE, "aspect_ratio": "16:9", "hookUrl": hook_url}
        job_id = client.submit("/flux/generate", json.dumps(order).encode(), "application/json")
        line.note("POST /flux/generate", f"job {job_id}")
        picture = _finish(line, client, receiver, tenant, job_id, out)

        body, content_type = _multipart({"prompt": f"{prompt}, in oil", "mode": _MODE}, picture)
        edit_id = client.submit("/flux/edits", body, content_type)
        line.note(f"POST /flux/edits with that image, {len(body):,} bytes", f"job {edit_id}")
        _finish(line, client, None, tenant, edit_id, out)
        _bill(console, tenant, world.product.quota_per_usd)


def _finish(
    line: _Timeline,
    client: _Client,
    receiver: _HookReceiver | None,
    tenant: TenantControl,
    job_id: str,
    out: Path | None,
) -> bytes:
    final = _poll(line, client, tenant, job_id)
    if final["status"] != "SUCCESS":
        raise DemoFailed(f"job {job_id} came to {final['status']}: {final['message']}")
    if receiver is not None:
        same = json.loads(receiver.wait(job_id)) == final
        line.note(
            f"POST {final['data']['hookUrl']}",
            f"hook received, {'same' if same else 'other'} body as the fetch",
        )
    url = final["data"]["imageUrl"]
    picture = client.download(url)
    line.note(f"GET {urlsplit(url).path}", _describe(picture))
    if out is not None:
        path = out / url.rpartition("/")[2]
        path.write_bytes(picture)
        line.note(f"kept as {path}")
    return picture


def _poll(line: _Timeline, client: _Client, tenant: TenantControl, job_id: str) -> dict[str, Any]:
    pause = _pause_between_polls(tenant)
    # On a terminal the status line moves; elsewhere rich prints nothing for it.
    with line.console.status("waiting …") as status:
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            asked_at = tenant.clock.now()
            answer = client.fetch(job_id)
            line.note("POST /flux/fetch", answer["status"], at=asked_at)
            if answer["status"] in {"SUCCESS", "FAILED"}:
                return answer
            status.update(f"job {job_id} is {answer['status']} …")
            pause()
    raise DemoFailed(f"job {job_id} was not finished within {_PATIENCE:g} s")


def _pause_between_polls(tenant: TenantControl) -> Callable[[], None]:
    rate = tenant.clock.rate
    if rate == 0:
        return lambda: None if tenant.clock.is_auto else tenant.clock.advance(_POLL_SECONDS)
    return lambda: time.sleep(min(_POLL_SECONDS / rate, _POLL_SECONDS))


def _describe(picture: bytes) -> str:
    from PIL import Image

    with Image.open(BytesIO(picture)) as image:
        image.load()
        return f"{image.format} {image.width}x{image.height}, {len(picture):,} bytes"


def _multipart(fields: dict[str, str], picture: bytes) -> tuple[bytes, str]:
    boundary = uuid.uuid4().hex
    field = 'Content-Disposition: form-data; name="{}"'
    parts = [f"--{boundary}\r\n{field.format(name)}\r\n\r\n{value}\r\n" for name, value in fields.items()]
    file = f'{field.format("image")}; filename="input.webp"\r\nContent-Type: image/webp'
    head = "".join(parts) + f"--{boundary}\r\n{file}\r\n\r\n"
    body = head.encode() + picture + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


def _bill(console: Console, tenant: TenantControl, quota_per_usd: int) -> None:
    spent = tenant.ledger.spent
    jobs = ", ".join(f"{job.order.endpoint} {job.order.mode} {job.price}" for job in tenant.jobs)
    console.print(
        f"The real API would have charged {spent} quota ({spent / quota_per_usd:.2f} USD): {jobs}; fetches are free.\n"
        "Prices other than that of flux1-dev are assumed. Here it cost nothing.",
        highlight=False,
        soft_wrap=True,
    )
