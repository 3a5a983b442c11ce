"""What a refused request tells the person: in the header and the journal, never in the body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support import KEY, PROMPT, Caller, explained, picture

from mock_server.api import METHODS
from mock_server.contract import contract

Emulate = Callable[..., Caller]
JSON = "application/json"
PART = b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n--b--\r\n'

REFUSED: list[tuple[str, str, str, dict[str, Any], int, str]] = [
    ("misspelt field", "POST", "/flux/generate", {"json": {"prompt": "x", "model": "flux1-dev"}}, 400,
     "mode is missing: you sent 'model', did you mean 'mode'?"),
    ("mistyped field", "POST", "/flux/generate", {"json": {"promt": "x", "mode": "flux1-dev"}}, 400,
     "you sent 'promt', did you mean 'prompt'?"),
    ("missing field", "POST", "/flux/generate", {"json": {"mode": "flux1-dev"}}, 400, "prompt is missing"),
    ("empty prompt", "POST", "/flux/generate", {"json": {**PROMPT, "prompt": ""}}, 400, "prompt is empty"),
    ("wrong mode", "POST", "/flux/generate", {"json": {"prompt": "x", "mode": "flux-dev"}}, 400,
     "got 'flux-dev', did you mean 'flux1-dev'?"),
    ("wrong ratio", "POST", "/flux/generate", {"json": {**PROMPT, "aspect_ratio": "5:4"}}, 400,
     "aspect_ratio: expected one of 21:9, 16:9"),
    ("wrong type", "POST", "/flux/generate", {"json": {"prompt": 7, "mode": "flux1-dev"}}, 400, "prompt: 7 is not"),
    ("job_id", "POST", "/flux/fetch", {"json": {"job_id": "x"}}, 400, "you sent 'job_id', did you mean 'jobId'?"),
    ("json= with files=", "POST", "/flux/edits", {"files": {"image": picture()}}, 400,
     "json= is dropped when files= is given"),
    ("JSON header on multipart", "POST", "/flux/edits", {"data": PART, "type": JSON}, 400,
     "do not set Content-Type by hand"),
    ("JSON header on multipart", "POST", "/flux/generate", {"data": PART, "type": JSON}, 400,
     "the body is multipart but Content-Type says application/json"),
    ("no boundary", "POST", "/flux/edits", {"data": PART, "type": "multipart/form-data"}, 400, "has no boundary"),
    ("JSON to edits", "POST", "/flux/edits", {"json": PROMPT}, 400, "image is missing: upload it as multipart"),
    ("form to edits", "POST", "/flux/edits", {"data": PROMPT}, 400, "image is missing: upload it as multipart"),
    ("text to edits", "POST", "/flux/edits", {"data": b"x", "type": "text/plain"}, 415, "expected a body of multipart"),
    ("null prompt", "POST", "/flux/generate", {"json": {**PROMPT, "prompt": None}}, 400, "prompt is null"),
    ("empty hook", "POST", "/flux/generate", {"json": {**PROMPT, "hookUrl": ""}}, 400, "hookUrl is empty"),
    ("undefined id", "POST", "/flux/fetch", {"json": {"jobId": "undefined"}}, 404, "answers it as data.jobId"),
    ("mode of the other version", "POST", "/flux/generate", {"json": {**PROMPT, "mode": "flux-2-klein-4b"}}, 400,
     "which contract 2026-03 takes: --contract 2026-03"),
    ("image[]", "POST", "/flux/edits", {"files": {"image[]": picture()}, "data": PROMPT}, 400,
     "you sent 'image[]', did you mean 'image'?"),
    ("curl -d without -H", "POST", "/flux/generate",
     {"data": b'{"prompt": "x", "mode": "flux1-dev"}', "type": "application/x-www-form-urlencoded"}, 400,
     "the body is JSON but Content-Type says form"),
    ("form as JSON", "POST", "/flux/generate", {"data": b"prompt=x&mode=flux1-dev", "type": JSON}, 400,
     "looks like a form"),
    ("text", "POST", "/flux/generate", {"data": b"x", "type": "text/plain"}, 415, "got text/plain"),
    ("no type", "POST", "/flux/generate", {"data": b"x"}, 415, "without Content-Type"),
    ("GET", "GET", "/flux/generate", {}, 405, "/flux/generate takes POST, got GET"),
    ("PUT", "PUT", "/flux/fetch", {}, 405, "takes POST or GET, got PUT"),
    ("unknown method", "BREW", "/flux/edits", {}, 405, "takes POST, got BREW"),
    ("preflight", "OPTIONS", "/flux/generate", {}, 405, "CORS"),
    ("status path", "GET", "/flux/status", {}, 404, "ask /flux/fetch"),
    ("id in the path", "GET", "/flux/fetch/abc", {}, 404, "with the id as ?jobId="),
    ("double slash", "POST", "/flux//fetch", {}, 404, "did you mean /flux/fetch?"),
    ("other dialect", "POST", "/bfl/v1/flux-pro", {}, 404, "not emulated"),
    ("encoded twice", "POST", "/flux/generate", {"json": '{"prompt": "x"}'}, 400, "it was encoded twice"),
    ("hook that is no URL", "POST", "/flux/generate", {"json": {**PROMPT, "hookUrl": "undefined"}}, 400,
     "must be absolute"),
    ("files= to generate", "POST", "/flux/generate", {"files": {"image": picture()}}, 400, "json= is dropped"),
    ("id as a file", "POST", "/flux/fetch", {"files": {"jobId": b"x"}}, 400, "jobId came as a file"),
    ("typo in the path", "POST", "/flux/genrate", {}, 404, "did you mean /flux/generate?"),
    ("slash at the end", "POST", "/flux/fetch/", {}, 404, "did you mean /flux/fetch?"),
    ("unknown path", "GET", "/nothing/like/it", {}, 404, "there are /flux/generate, /flux/edits, /flux/fetch"),
    ("unknown job", "POST", "/flux/fetch", {"json": {"jobId": "nope"}}, 404, "this key has no job 'nope'"),
    ("plain image field", "POST", "/flux/edits", {"data": {**PROMPT, "image": "cat.png"}, "type": "multipart/form-data"},
     400, "image must be a file part"),
    ("wrong part name", "POST", "/flux/edits", {"files": {"file": picture()}, "data": PROMPT}, 400,
     "image is missing: you sent 'file', did you mean 'image'?"),
    ("empty image", "POST", "/flux/edits", {"files": {"image": b""}, "data": PROMPT}, 400, "image is empty"),
    ("no image at all", "POST", "/flux/edits", {"files": {"image": b"GIF, honestly"}, "data": PROMPT}, 400, "image: "),
    ("file: hook", "POST", "/flux/generate", {"json": {**PROMPT, "hookUrl": "file:///etc/passwd"}}, 400, "scheme http or https"),
    ("hook with credentials", "POST", "/flux/generate", {"json": {**PROMPT, "hookUrl": "http://u:p@localhost/"}}, 400,
     "may not hold credentials"),
    ("public hook", "POST", "/flux/generate", {"json": {**PROMPT, "hookUrl": "https://webhook-test.com/1"}}, 400,
     "--hook-allow"),
    ("metadata hook", "POST", "/flux/generate", {"json": {**PROMPT, "hookUrl": "http://169.254.169.254/latest"}}, 400,
     "metadata"),
]  # fmt: skip


def send(caller: Caller, method: str, path: str, request: dict[str, Any], headers: dict[str, str]) -> Any:
    request = dict(request)
    if "files" in request:
        from io import BytesIO

        files = {name: (BytesIO(data), f"{name}.png") for name, data in request.pop("files").items()}
        request["data"] = {**request.get("data", {}), **files}
    if "type" in request:
        kind = request.pop("type")
        if isinstance(request["data"], bytes):
            headers = {**headers, "Content-Type": kind}
        else:
            request["content_type"] = kind
    return caller.http.open(path, method=method, headers=headers, **request)


@pytest.mark.parametrize(
    ("method", "path", "request_", "status", "words"),
    [case[1:] for case in REFUSED],
    ids=[f"{case[0]}-{case[2].rpartition('/')[2]}" for case in REFUSED],
)
def test_a_refusal_is_explained_beside_the_body(
    emulate: Emulate, method: str, path: str, request_: dict[str, Any], status: int, words: str
) -> None:
    caller = emulate()
    answer = send(caller, method, path, request_, caller.headers)
    assert (answer.status_code, words in explained(answer)) == (status, True), explained(answer)
    message = contract("2024-09").error_messages[status]
    assert answer.get_json() == {"status": "FAILED", "message": message, "data": None}
    world = caller.app.world
    journal = world.strays if path not in METHODS else world.tenant(KEY).journal
    assert words in journal.requests[-1].explanation


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "expected the header TT-API-KEY, got none"),
        ({"TT-API-KEY": ""}, "the TT-API-KEY header is empty"),
        ({"TT-API-KEY": "  "}, "the TT-API-KEY header is empty"),
        ({"Authorization": "Bearer abc"}, "the key came as Authorization"),
        ({"X-API-KEY": "abc"}, "the key came in X-API-KEY"),
        ({"TTAPIKEY": "abc"}, "the key came in the header TTAPIKEY: write it TT-API-KEY"),
    ],
)
def test_a_missing_or_misplaced_key_is_explained(emulate: Emulate, headers: dict[str, str], words: str) -> None:
    caller = emulate()
    answer = caller.http.post("/flux/generate", json=PROMPT, headers=headers)
    assert answer.status_code == 401
    assert words in explained(answer)
    assert words in caller.app.world.strays.requests[-1].explanation


def test_a_key_in_the_query_is_explained(emulate: Emulate) -> None:
    answer = emulate().http.get("/flux/fetch?jobId=x&api_key=abc")
    assert (answer.status_code, "the key came in the query" in explained(answer)) == (401, True)


def test_a_key_that_is_not_listed_is_refused_and_never_shown(emulate: Emulate) -> None:
    caller = emulate(key="a-secret-that-is-wrong", deliverer=None)
    caller.app.world.settings = caller.app.world.settings.replaced(key=["another"])
    answer = caller.generate()
    assert answer.status_code == 401
    assert "none of the 1 allowed by --key" in explained(answer)
    assert "a-secret-that-is-wrong" not in repr(caller.app.world.strays[-1])
    assert "a-secret-that-is-wrong" not in str(caller.app.world.strays.requests[-1].headers)


def test_the_job_of_another_tenant_is_explained_but_not_shown(emulate: Emulate) -> None:
    caller = emulate()
    job_id = caller.submit()
    answer = Caller(caller.app, "another").post("/flux/fetch", json={"jobId": job_id})
    assert answer.status_code == 404
    assert "belongs to another API key" in explained(answer)


def test_a_mangled_id_is_recognised(emulate: Emulate) -> None:
    caller = emulate()
    job_id = caller.submit()
    answer = caller.post("/flux/fetch", json={"jobId": f'"{job_id.upper()}"'})
    assert (answer.status_code, "send the id unchanged" in explained(answer)) == (404, True)


def test_an_explanation_travels_as_one_line_of_ascii(emulate: Emulate) -> None:
    answer = emulate().generate(mode="flux\r\nSet-Cookie: x=1\n猫" * 90)
    assert answer.status_code == 400
    assert explained(answer).isascii()
    assert "Set-Cookie" not in answer.headers
    assert len(explained(answer)) <= 2000


def test_a_mode_of_the_other_endpoint_is_recognised(emulate: Emulate) -> None:
    answer = emulate(contract="2026-03").generate(mode="flux1-schnell")
    assert "which contract 2026-03 takes in /flux/edits only" in explained(answer)


def test_a_size_is_never_guessed(emulate: Emulate) -> None:
    answer = emulate().generate(size="512x512")
    assert "size: expected one of 1024x1024, 1024x1792, 1792x1024; got '512x512'" in explained(answer)
    assert "did you mean" not in explained(answer)


def test_a_hook_that_is_null_counts_as_none_and_is_remarked_on(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")
    answer = caller.generate(hookUrl=None)
    assert (answer.status_code, "hookUrl is null" in explained(answer)) == (200, True)
    assert caller.fetch(answer.get_json()["data"]["jobId"])["data"]["hookUrl"] is None


def test_one_field_gets_one_sentence(emulate: Emulate) -> None:
    assert explained(emulate().generate(hookUrl=7)).count("hookUrl") == 1


def test_uploads_stand_in_the_journal_with_their_decoded_names(emulate: Emulate) -> None:
    caller = emulate()
    data = picture()
    assert caller.edit((data, "猫.png"), (data, "b.png")).status_code == 200
    (entry,) = caller.app.world.tenant(KEY).journal.requests
    assert [(upload.field, upload.filename, upload.size) for upload in entry.uploads] == [
        ("image", "猫.png", len(data)),
        ("image", "b.png", len(data)),
    ]


@pytest.mark.parametrize(
    ("endpoint", "fields", "words"),
    [
        ("generate", {"input_image": "x"}, "/flux/edits takes images"),
        ("edits", {"size": "1024x1024"}, "/flux/edits takes aspect_ratio"),
    ],
)
def test_a_field_of_the_other_endpoint_is_remarked_on(
    emulate: Emulate, endpoint: str, fields: dict[str, str], words: str
) -> None:
    caller = emulate()
    answer = caller.generate(**fields) if endpoint == "generate" else caller.edit((picture(), "a.png"), **fields)
    assert (answer.status_code, words in explained(answer)) == (200, True)


def test_two_ids_that_differ_are_remarked_on(emulate: Emulate) -> None:
    caller = emulate()
    one, two = caller.submit(), caller.submit()
    answer = caller.post("/flux/fetch", json={"jobId": one}, query_string={"jobId": two})
    assert answer.get_json()["jobId"] == one
    assert "another jobId" in explained(answer)


def test_keys_stay_out_of_the_journal_wherever_they_were_put(emulate: Emulate) -> None:
    caller = emulate()
    caller.http.get("/flux/fetch?jobId=x&TT-API-KEY=supersecret", headers={"X-Api-Key": "supersecret"})
    assert "supersecret" not in repr(caller.app.world.strays.requests) + str(
        caller.app.world.strays.requests[0].headers
    )
