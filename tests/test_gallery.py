"""Result images as files: size, caching, ranges, expiry."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from support import PROMPT, Caller, explained, picture

from mock_server.clock import EPOCH
from mock_server.images import gallery
from mock_server.product import load_product
from mock_server.serving import Server

Emulate = Callable[..., Caller]
Serve = Callable[..., Server]
DAY = 86400


def get(caller: Caller, url: str, **headers: str) -> Any:
    return caller.http.get(
        urlsplit(url).path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def image_of(caller: Caller, **fields: Any) -> str:
    return str(caller.fetch(caller.submit(**fields))["data"]["imageUrl"])


@pytest.mark.parametrize(("ratio", "size"), sorted(load_product().sizes.items()))
def test_an_image_is_a_webp_of_the_size_of_its_ratio(emulate: Emulate, ratio: str, size: str) -> None:
    caller = emulate(progress="immediate")
    answer = get(caller, image_of(caller, aspect_ratio=ratio))
    assert answer.mimetype == "image/webp"
    with Image.open(BytesIO(answer.data)) as image:
        image.load()
        assert (image.format, f"{image.width}x{image.height}") == ("WEBP", size)


def test_an_image_is_drawn_once_and_the_same_for_ever(emulate: Emulate) -> None:
    first, second = emulate(progress="immediate"), emulate(progress="immediate")
    one, two = image_of(first), image_of(second)
    assert urlsplit(one).path == urlsplit(two).path
    drawn = get(first, one)
    gallery._draw.cache_clear()
    assert get(second, two).data == drawn.data
    assert get(first, image_of(first, prompt="another")).data != drawn.data


def test_an_edit_shows_its_upload(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")

    def mean(colour: str) -> tuple[float, ...]:
        answer = caller.edit((picture(colour, (300, 300)), "a.png"), (picture("white"), "b.png"))
        url = caller.fetch(answer.get_json()["data"]["jobId"])["data"]["imageUrl"]
        with Image.open(BytesIO(get(caller, url).data)) as image:
            return tuple(image.convert("RGB").resize((1, 1)).getpixel((0, 0)))  # type: ignore[arg-type]

    red, blue = mean("red"), mean("blue")
    assert red[0] > red[2] + 60
    assert blue[2] > blue[0] + 60


def test_etag_head_and_range(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")
    url = image_of(caller)
    whole = get(caller, url)
    head = caller.http.head(urlsplit(url).path)
    assert (head.status_code, head.data, head.content_length) == (200, b"", len(whole.data))
    assert head.headers["ETag"] == whole.headers["ETag"]
    assert get(caller, url, If_None_Match=whole.headers["ETag"]).status_code == 304
    part = get(caller, url, Range="bytes=10-19")
    assert (part.status_code, part.data) == (206, whole.data[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.data)}"
    beyond = get(caller, url, Range="bytes=99999999-")
    assert (beyond.status_code, beyond.data) == (416, b"")
    assert beyond.headers["Content-Range"] == f"bytes */{len(whole.data)}"
    for ignored in ("bytes=0-1,5-6", "items=0-1", "bytes=a-b", "bytes=5-2", "bytes=-", "bytes=-9999999"):
        answer = get(caller, url, Range=ignored)
        assert (answer.status_code, answer.data) == (200, whole.data), ignored
    assert get(caller, url, Range="bytes=-10").data == whole.data[-10:]
    assert caller.http.head(urlsplit(url).path, headers={"Range": "bytes=0-9"}).status_code == 200
    assert "Date" not in whole.headers


def test_an_image_is_gone_after_the_month(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")
    url = image_of(caller)
    tenant = caller.app.world.tenant(caller.key)
    tenant.advance_to(EPOCH + 30 * DAY)
    assert get(caller, url).status_code == 200
    tenant.advance_to(EPOCH + 30 * DAY + 1)
    answer = get(caller, url)
    assert answer.status_code == 404
    assert "expired" in explained(answer)
    assert answer.get_json()["status"] == "FAILED"


@pytest.mark.parametrize(
    "path",
    [
        "/2024-09-10/x.webp",
        "/2024-09-10/" + "a" * 32 + ".webp",
        "/2024-09-11/{name}.webp",
        "/2024-09-10/{upper}.webp",
    ],
)
def test_an_image_that_is_none_is_a_404(emulate: Emulate, path: str) -> None:
    caller = emulate(progress="immediate")
    name = urlsplit(image_of(caller)).path.rpartition("/")[2].removesuffix(".webp")
    answer = caller.http.get(path.format(name=name, upper=name.upper()))
    assert (answer.status_code, "no image is here" in explained(answer)) == (404, True)


def test_an_unfinished_job_has_no_image(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")
    path = urlsplit(image_of(caller)).path
    unfinished = emulate(progress="manual")
    unfinished.submit()
    assert unfinished.http.get(path).status_code == 404


def test_a_download_is_in_the_journal_of_its_owner(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")
    url = image_of(caller)
    get(caller, url)
    entry = caller.app.world.tenant(caller.key).journal.requests[-1]
    assert (entry.method, entry.path, entry.status) == ("GET", urlsplit(url).path, 200)


def test_image_urls_lead_back_to_the_server_that_was_asked(serve: Serve) -> None:
    server = serve(progress="immediate")
    caller = Caller(server.app)
    answer = caller.http.post("/flux/generate", json=PROMPT, headers=caller.headers, base_url=server.url)
    url = caller.fetch(answer.get_json()["data"]["jobId"])["data"]["imageUrl"]
    assert url.startswith(server.url + "/")
    with urllib.request.urlopen(url, timeout=20) as image:
        assert image.headers["Content-Type"] == "image/webp"


def test_image_urls_have_the_public_origin_when_one_is_set(emulate: Emulate) -> None:
    caller = emulate(progress="immediate", public_url="http://fluxmock:8787/")
    assert image_of(caller).startswith("http://fluxmock:8787/2024-09-10/")


def test_drawing_does_not_keep_others_waiting(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(progress="immediate")
    caller = Caller(server.app)
    url = image_of(caller)
    drawing, go_on = threading.Event(), threading.Event()

    def slow(*_: object) -> bytes:
        drawing.set()
        assert go_on.wait(20)
        return picture(kind="WEBP")

    monkeypatch.setattr(gallery, "_draw", slow)
    path = server.url + urlsplit(url).path
    downloads: list[bytes] = []
    thread = threading.Thread(target=lambda: downloads.append(urllib.request.urlopen(path, timeout=20).read()))
    thread.start()
    assert drawing.wait(20)
    request = urllib.request.Request(f"{server.url}/flux/fetch?jobId=x", headers={"TT-API-KEY": "k"})
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(request, timeout=20)
    go_on.set()
    thread.join(20)
    assert len(downloads) == 1
