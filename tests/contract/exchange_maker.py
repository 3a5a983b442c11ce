"""Makes `fixtures/exchanges/emulator/`: what the emulator answers to every kind of call, in every version.

`python tests/contract/exchange_maker.py` writes them anew. A test holds the files equal to what comes out here.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

import mock_server
from contract_tests.asserting import validate
from mock_server import TenantControl, resources
from mock_server.app import create_app
from mock_server.bodies import FORM, JSON, MULTIPART
from mock_server.contract import contract, versions
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.settings import Settings
from mock_server.world import World

FOLDER = resources.folder("fixtures") / "exchanges" / "emulator"
KEY = "<key>"
BASE = "http://127.0.0.1:8787"
HOOK = "http://127.0.0.1:9000/hook"
ORDER = {"prompt": "a cute cat", "mode": "flux1-dev"}
MEBIBYTE = 1 << 20
OURS = {"x-fluxmock-explain", "content-length", "connection"}
# Headers that are the emulator's own, or tell nothing that the body does not.

Exchange = dict[str, Any]
Made = Iterator[tuple[str, str, Exchange]]
"""Name, note and exchange."""


class Client:
    """Calls an emulator, and returns each call as an exchange."""

    def __init__(self, world: World, deliverer: RecordingDeliverer) -> None:
        self.control = TenantControl(world, KEY)
        self._http = create_app(world=world).test_client()
        self._deliverer = deliverer

    def call(
        self,
        path: str,
        body: str | None = None,
        kind: str | None = None,
        *,
        method: str = "POST",
        key: str | None = KEY,
    ) -> Exchange:
        """Call with a body of that kind; one that is too large for a fixture is not kept."""
        kept = body if body is None or len(body) < MEBIBYTE else None
        return self._sent({"body": kept}, path, method, key, data=body and body.encode(), content_type=kind)

    def json(self, path: str, fields: Mapping[str, Any], **more: Any) -> Exchange:
        return self.call(path, json.dumps(fields, ensure_ascii=False), JSON, **more)

    def form(self, path: str, fields: Mapping[str, str], images: int = 0) -> Exchange:
        """Call with a multipart form, and so many pictures."""
        image = (resources.folder("fixtures") / "images" / "cat.webp").read_bytes()
        names = [f"cat-{number}.webp" for number in range(1, images + 1)]
        parts = [{"name": name, "text": text} for name, text in fields.items()] + [
            {"name": "image", "filename": name, "content_type": "image/webp", "size": len(image)} for name in names
        ]
        files = {"image": [FileStorage(BytesIO(image), name) for name in names]}
        boundary, data = encode_multipart({**fields, **files}, "boundary")
        kept = {"parts": parts} if all(len(text) < MEBIBYTE for text in fields.values()) else {"body": None}
        return self._sent(kept, path, "POST", KEY, data=data, content_type=f"{MULTIPART}; boundary={boundary}")

    def _sent(self, kept: Exchange, path: str, method: str, key: str | None, **request: Any) -> Exchange:
        headers = {} if key is None else {"TT-API-KEY": key}
        answer = self._http.open(path, method=method, headers=headers, base_url=BASE, **request)
        if request["content_type"]:
            headers = {**headers, "Content-Type": request["content_type"]}
        seen = {name: value for name, value in answer.headers.items() if name.lower() not in OURS}
        return {
            "version": 1,
            "kind": "exchange",
            "request": {"method": method, "url": BASE + path, "headers": headers, **kept},
            "response": {"status": answer.status_code, "headers": seen, "body": answer.get_data(as_text=True)},
        }

    def order(self, endpoint: str = "generate", **fields: str) -> Exchange:
        values = {**ORDER, **fields}
        if endpoint == "edits":
            return self.form("/flux/edits", values, images=1)
        return self.json("/flux/generate", values)

    def submit(self, **fields: str) -> str:
        self.order(**fields)
        return self.control.jobs[-1].id

    def fetch(self, job_id: str) -> Exchange:
        return self.json("/flux/fetch", {"jobId": job_id})

    def hook(self) -> Exchange:
        """Return the newest webhook."""
        self.control.clock.run_until_idle()
        sent = self._deliverer.sent[-1]
        headers = {"Content-Type": sent.content_type}
        request = {"method": "POST", "url": sent.url, "headers": headers, "body": sent.body.decode()}
        return {"version": 1, "kind": "hook", "request": request}


@contextmanager
def emulator(version: str, **settings: Any) -> Iterator[Client]:
    # Images lie where the real ones do: a webhook does not tell which other host would be the right one.
    chosen = Settings.of(contract=version, clock="frozen", public_url="https://cdnb.ttapi.io", **settings)
    deliverer = RecordingDeliverer()
    world = World(chosen, deliverer=deliverer)
    try:
        yield Client(world, deliverer)
    finally:
        world.close()


def accepted_orders(version: str) -> Made:
    with emulator(version) as client:
        yield "generate-200", "an order in JSON", client.order()
        more = {"aspect_ratio": "16:9", "hookUrl": HOOK}
        yield "generate-200-all-fields", "an order with a shape and a hook", client.order(**more)
        yield "generate-200-size", "an order with the size that is to be deprecated", client.order(size="1792x1024")
        unknown = {**ORDER, "model": "flux", "seed": 7, "negative_prompt": "dogs", "hookUrl": None}
        note = "fields that no source names do no harm, and a hook that is null is none"
        yield "generate-200-unknown-fields", note, client.json("/flux/generate", unknown)
        yield "generate-200-form", "an urlencoded form", client.call("/flux/generate", urlencode(ORDER), FORM)
        yield "generate-200-multipart", "a multipart form", client.form("/flux/generate", ORDER)
        for mode in contract(version).choices("generate.request", "mode"):
            yield f"generate-200-mode-{mode}", "each mode that is sold", client.order(mode=mode)
        yield "edits-200", "an order with one picture", client.order("edits")
        two = client.form("/flux/edits", {**ORDER, **more, "mode": "flux1-schnell"}, images=2)
        yield "edits-200-two-images", "an order with two pictures and all fields", two


def refused_orders(version: str, endpoint: str) -> Made:
    path = f"/flux/{endpoint}"
    with emulator(version) as client:
        yield f"{endpoint}-400-mode", "a mode that is not sold", client.order(endpoint, mode="flux9")
        yield f"{endpoint}-400-hook", "a hook that is no URL", client.order(endpoint, hookUrl="not a url")
        if endpoint == "edits":
            yield "edits-400-no-image", "a form without a picture", client.form(path, ORDER)
            lost = client.form(path, {}, images=1)
            yield "edits-400-fields-lost", "what requests sends for json= beside files=: the fields are gone", lost
            yield "edits-400-json", "JSON, which cannot hold a picture", client.json(path, ORDER)
        else:
            yield "generate-400-missing", "no mode", client.json(path, {"prompt": "a cute cat"})
            yield "generate-400-model", "model in place of mode", client.json(path, {"prompt": "a cat", "model": "x"})
            yield "generate-400-cut", "JSON that is cut short", client.call(path, '{"prompt": "a cute c', JSON)
        yield from refused_anywhere(client, endpoint)
        yield f"{endpoint}-405", "GET where POST is expected", client.call(path, method="GET")
        long = {**ORDER, "prompt": "x" * (MEBIBYTE + 1)}
        large = client.form(path, long, images=1) if endpoint == "edits" else client.json(path, long)
        yield f"{endpoint}-413", "more than a MiB of text, which is not kept here", large
    with emulator(version, balance=0) as client:
        yield f"{endpoint}-402", "no quota left", client.order(endpoint)
    with emulator(version, queue=1) as client:
        client.submit()
        yield f"{endpoint}-499", "one unfinished job too many", client.order(endpoint)
    with emulator(version, rate_limit="1/10s") as client:
        client.submit()
        yield f"{endpoint}-429", "one call too many", client.order(endpoint)
    for status, note in BROKEN.items():
        with emulator(version) as client:
            client.control.scenario(broken(endpoint, status))
            yield f"{endpoint}-{status}", note, client.order(endpoint)


def fetches(version: str) -> Made:
    with emulator(version, progress="manual") as client:
        job_id = client.submit(hookUrl=HOOK)
        client.control.jobs.finish(job_id)
        fields = {"jobId": job_id}
        yield "fetch-200-success", "a job that has succeeded", client.fetch(job_id)
        yield "fetch-200-multipart", "asked for by a multipart form", client.form("/flux/fetch", fields)
        yield "fetch-200-form", "asked for by an urlencoded form", client.call("/flux/fetch", urlencode(fields), FORM)
        query = f"/flux/fetch?jobId={job_id}"
        yield "fetch-200-get", "asked for by GET with a query", client.call(query, method="GET")
        yield "fetch-200-post-query", "asked for by POST with a query", client.call(query)
        yield "hook-success", "the webhook of a job that has succeeded", client.hook()
        plain = client.submit()
        client.control.jobs.finish(plain)
        yield "fetch-200-no-hook", "a job that has succeeded, without a hook", client.fetch(plain)
        yield "fetch-400", "no jobId", client.json("/flux/fetch", {"job_id": job_id})
        yield "fetch-404", "a job that there is not", client.fetch("00000000-0000-4000-8000-000000000000")
        yield from refused_anywhere(client, "fetch")
        yield "fetch-405", "PUT, which nobody takes", client.call("/flux/fetch", "{}", JSON, method="PUT")
        yield "fetch-413", "more than a MiB of text, not kept here", client.fetch("x" * (MEBIBYTE + 1))
        for status, note in BROKEN.items():
            client.control.scenario(broken("fetch", status))
            yield f"fetch-{status}", note, client.fetch(job_id)
    with emulator(version, rate_limit="1/10s") as client:
        job_id = client.submit()
        yield "fetch-429", "one call too many", client.fetch(job_id)


def unfinished_and_failed(version: str, data: str) -> Made:
    shape = "data null" if data == "null" else "data an object of what is known and nulls"
    with emulator(version, progress="manual", slots=1, data=data) as client:
        job_id = client.submit(hookUrl=HOOK)
        # 2024-09 has no word of its own for a job that waits for a slot.
        yield f"fetch-200-pending-{data}", f"a job that waits for a slot, {shape}", client.fetch(job_id)
        client.control.jobs.start(job_id)
        yield f"fetch-200-running-{data}", f"a job that runs, {shape}", client.fetch(job_id)
        client.control.jobs.fail(job_id)
        yield f"fetch-200-failed-{data}", f"a job that has failed, {shape}", client.fetch(job_id)
        yield f"hook-failed-{data}", f"the webhook of a job that has failed, {shape}", client.hook()


def refused_anywhere(client: Client, endpoint: str) -> Made:
    path = f"/flux/{endpoint}"
    yield f"{endpoint}-401", "no key", client.json(path, ORDER, key=None)
    yield f"{endpoint}-415", "plain text", client.call(path, "a cute cat", "text/plain")


BROKEN = {500: "an error inside the server", 504: "a gateway that waited too long"}
"""Statuses that only a scenario makes."""


def broken(endpoint: str, status: int) -> Exchange:
    return {"name": "broken", "story": "All breaks.", "rules": [{"on": endpoint, "then": {"status": status}}]}


def fitting(exchange: Exchange) -> list[str]:
    """Return the versions of the contract that an exchange fits: a refusal, say, is the same in all of them."""
    return [version for version in versions() if not validate(exchange, version)]


def make() -> Iterator[tuple[str, Exchange]]:
    """Return every file, by its path below `FOLDER`."""
    for version in versions():
        groups = (
            accepted_orders(version),
            refused_orders(version, "generate"),
            refused_orders(version, "edits"),
            fetches(version),
            unfinished_and_failed(version, "null"),
            unfinished_and_failed(version, "object"),
        )
        for name, note, exchange in (made for group in groups for made in group):
            provenance = {
                "source": "emulator",
                "note": note,
                "contract": fitting(exchange),
                "findings": [],
                "made_with": f"fluxmock {mock_server.__version__}",
            }
            yield f"{version}/{name}.json", {"provenance": provenance, "exchange": exchange}


def as_text(fixture: Exchange) -> str:
    return json.dumps(fixture, ensure_ascii=False, indent=2) + "\n"


def write(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, fixture in make():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(as_text(fixture), "utf-8")


if __name__ == "__main__":
    write(FOLDER)
