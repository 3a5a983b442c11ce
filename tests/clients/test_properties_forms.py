"""What clients upload, C49, C50 and C52: forms, filenames and files that do not arrive are found."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
from broken_parts import calls, judged, waited
from good_clients import BUSY, PAUSE, TIMEOUT, form_of, job_of

from contract_tests.clients.properties.multipart import Malformed, means, read_strictly
from contract_tests.clients.verdict import Result


def edited(base_url: str, api_key: str, **body: Any) -> str:
    """Edit with requests, as `body` says, and return the URL."""
    headers = {"TT-API-KEY": api_key, **body.pop("headers", {})}
    answer = requests.post(base_url + "/flux/edits", headers=headers, timeout=TIMEOUT, allow_redirects=False, **body)
    answer.raise_for_status()
    return waited(calls(base_url, api_key), job_of(answer.json()))


# C49


def type_by_hand(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, file = form_of(prompt, image)
    headers = {"Content-Type": "multipart/form-data"}
    return edited(base_url, api_key, headers=headers, data=fields, files={"image": file})


def type_of_the_old_page(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, file = form_of(prompt, image)
    headers = {"Content-Type": "application/json"}
    return edited(base_url, api_key, headers=headers, data=fields, files={"image": file})


def json_beside_files(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, file = form_of(prompt, image)
    return edited(base_url, api_key, json=fields, files={"image": file})


def body_with_bare_line_feeds(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, data, kind) = form_of(prompt, image)
    parts = [f'--xyzzy\nContent-Disposition: form-data; name="{key}"\n\n{value}\n' for key, value in fields.items()]
    head = f'--xyzzy\nContent-Disposition: form-data; name="image"; filename="{name}"\nContent-Type: {kind}\n\n'
    body = "".join(parts).encode() + head.encode() + data + b"\n--xyzzy--\n"
    return edited(base_url, api_key, headers={"Content-Type": "multipart/form-data; boundary=xyzzy"}, data=body)


def file_as_text(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, data, _) = form_of(prompt, image)
    return edited(base_url, api_key, data=fields, files={"image": (name, data.decode(errors="replace"))})


def file_as_a_field(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (_, data, _) = form_of(prompt, image)
    return edited(base_url, api_key, files={**{k: (None, v) for k, v in fields.items()}, "image": (None, data)})


def file_of_a_wrong_type(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, data, _) = form_of(prompt, image)
    return edited(base_url, api_key, data=fields, files={"image": (name, data, "text/plain")})


@pytest.mark.parametrize(
    ("client", "why"),
    [
        (type_by_hand, "has no boundary"),
        (type_of_the_old_page, "is application/json, and not multipart/form-data"),
        (json_beside_files, "has 0 fields 'prompt'"),
        (body_with_bare_line_feeds, "boundary"),
        (file_as_text, "bytes that are none"),
        (file_as_a_field, "image is a plain field"),
        (file_of_a_wrong_type, "the Content-Type text/plain"),
    ],
)
def test_a_form_that_not_every_server_can_read_is_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C49")
    assert result.result is Result.FAIL
    assert why in result.why


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + end


FIELD = b'Content-Disposition: form-data; name="prompt"\r\n\r\na cat'


@pytest.mark.parametrize(
    ("content_type", "body", "why"),
    [
        ("multipart/form-data; boundary=b", form(FIELD, end=b""), "last boundary"),
        ("multipart/form-data; boundary=b", form(FIELD) + b"more", "after the last boundary"),
        ("multipart/form-data; boundary=b", b"hello\r\n" + form(FIELD), "does not begin with its boundary"),
        ("multipart/form-data; boundary=b", form(b"a cat"), "no empty line"),
        ("multipart/form-data; boundary=b", form(b"\r\na cat"), "no Content-Disposition"),
        ("multipart/form-data; boundary=b", form(FIELD.replace(b"form-data", b"attachment")), "no Content-Disposition"),
        ("multipart/form-data; boundary=b", form(b'X: "1"\r\nX: 2\r\n' + FIELD), "header X twice"),
        (
            "multipart/form-data; boundary=b",
            form(FIELD.replace(b'"prompt"', b'"a "big" cat"')),
            "cannot be read from",
        ),
        ("multipart/form-data; boundary=b", form(b"Content-Transfer-Encoding: base64\r\n" + FIELD), "base64"),
        ("multipart/form-data; boundary=b", form(b"Content-Type: png\r\n" + FIELD), "'png', which is none"),
        (f"multipart/form-data; boundary={'b' * 71}", form(FIELD), "does not allow"),
        ("multipart/form-data", form(FIELD), "no boundary"),
        ("application/json", b"{}", "not multipart/form-data"),
    ],
)
def test_the_strict_reader_says_what_is_wrong(content_type: str, body: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        read_strictly(content_type, body)


def test_the_strict_reader_reads_what_is_right() -> None:
    file = b'Content-Disposition: form-data; name="image"; filename="a \\"b\\".png"\r\nContent-Type: image/png\r\n\r\n'
    data = b"\r\n--c\r\n\x00--b"
    prompt, image = read_strictly('multipart/form-data; boundary="b"', form(FIELD, file + data))
    assert (prompt.name, prompt.data, prompt.filename) == ("prompt", b"a cat", None)
    assert (image.name, image.data, image.content_type) == ("image", data, "image/png")


# C50


def ascii_names(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, *rest) = form_of(prompt, image)
    return edited(base_url, api_key, data=fields, files={"image": (name.encode("ascii", "replace").decode(), *rest)})


def names_in_latin_1(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, *rest) = form_of(prompt, image)
    return edited(base_url, api_key, data=fields, files={"image": (name.encode().decode("latin-1"), *rest)})


def extended_names(base_url: str, api_key: str, prompt: str, image: str) -> str:
    fields, (name, data, kind) = form_of(prompt, image)
    head = f"Content-Disposition: form-data; name=\"image\"; filename*=utf-8''{quote(name)}\r\nContent-Type: {kind}\r\n"
    parts = [f'--xyzzy\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in fields.items()]
    body = "".join(parts).encode() + f"--xyzzy\r\n{head}\r\n".encode() + data + b"\r\n--xyzzy--\r\n"
    return edited(base_url, api_key, headers={"Content-Type": "multipart/form-data; boundary=xyzzy"}, data=body)


@pytest.mark.parametrize(
    ("client", "why"),
    [(ascii_names, "arrived as '"), (names_in_latin_1, "arrived as '"), (extended_names, "RFC 7578 forbids")],
)
def test_a_filename_that_does_not_survive_is_found(client: Callable[..., Any], why: str) -> None:
    result = judged(client, "C50")
    assert result.result is Result.FAIL
    assert why in result.why


def test_a_name_of_the_clients_own_is_not_judged() -> None:
    def own_name(base_url: str, api_key: str, prompt: str, image: str) -> str:
        fields, (_, *rest) = form_of(prompt, image)
        return edited(base_url, api_key, data=fields, files={"image": ("upload.png", *rest)})

    assert judged(own_name, "C50").result is Result.NOT_EXERCISED


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("猫 🐈.png", "猫 🐈.png"),
        ("%E7%8C%AB%20%F0%9F%90%88.png", "猫 🐈.png"),
        ("a %22cat%22.png", 'a "cat".png'),
        ('a \\"cat\\".png', 'a "cat".png'),
        ("100% cat.png", "100% cat.png"),
        ("100%25%20cat.png", "100% cat.png"),
        ("pictures/cat.png", "cat.png"),
        (unicodedata.normalize("NFD", "café.png"), "café.png"),
    ],
)
def test_every_way_to_write_a_filename_is_known(written: str, name: str) -> None:
    assert means(written, name)
    assert not means(written, "dog.png")


# C52


def opened_once(base_url: str, api_key: str, prompt: str, image: str) -> str:
    with Path(image).open("rb") as file:
        for _ in range(4):
            answer = requests.post(
                base_url + "/flux/edits",
                headers={"TT-API-KEY": api_key},
                data={"prompt": prompt, "mode": "flux1-dev"},
                files={"image": ("cat.png", file, "image/png")},
                timeout=TIMEOUT,
            )
            if answer.status_code not in BUSY:
                break
            time.sleep(PAUSE)
    answer.raise_for_status()
    return waited(calls(base_url, api_key), job_of(answer.json()))


def test_a_file_that_is_at_its_end_in_the_second_attempt_is_found() -> None:
    result = judged(opened_once, "C52")
    assert result.result is Result.FAIL
    assert "attempt 2 has 0 bytes of the picture" in result.why
