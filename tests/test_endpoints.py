"""The three endpoints as their clients see them, in both versions of the contract."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from support import PROMPT, Caller, explained, picture

from mock_server.contract import contract, versions

Emulate = Callable[..., Caller]
PENDING = {"2024-09": "ON_QUEUE", "2026-03": "PENDING_QUEUE"}
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.mark.parametrize("version", versions())
def test_a_job_goes_from_submission_to_its_result(emulate: Emulate, version: str) -> None:
    caller = emulate(contract=version, progress="polls:3")
    answer = caller.generate(hookUrl="http://127.0.0.1:9/hook").get_json()
    job_id = answer["data"][contract(version).id_field]
    assert answer["status"] == "SUCCESS"
    assert UUID.fullmatch(job_id)
    statuses = [caller.fetch(job_id)["status"] for _ in range(2)]
    assert statuses == [PENDING[version], "ON_QUEUE"]
    result = caller.fetch(job_id)
    assert result["status"] == "SUCCESS"
    assert result["jobId"] == job_id
    data = result["data"]
    assert data["mode"] == "flux-dev"
    assert data["jobId"] == job_id
    assert data["prompt"] == "a cute cat"
    assert data["quota"] == "1"
    assert data["size"] == "1024x1024"
    assert data["hookUrl"] == "http://127.0.0.1:9/hook"
    assert re.fullmatch(r"http://localhost/2024-09-10/[0-9a-z]{32}\.webp", data["imageUrl"])
    assert caller.fetch(job_id) == result


@pytest.mark.parametrize("version", versions())
def test_modes_are_those_of_the_version(emulate: Emulate, version: str) -> None:
    caller = emulate(contract=version)
    facts = contract(version)
    for mode in facts.choices("edits.request", "mode"):
        assert caller.edit((picture(), "a.png"), mode=mode).status_code == 200
        expected = 200 if mode in facts.choices("generate.request", "mode") else 400
        assert caller.generate(mode=mode).status_code == expected


@pytest.mark.parametrize("version", versions())
@pytest.mark.parametrize("shape", ["null", "object"])
def test_data_without_a_result_has_the_chosen_shape(emulate: Emulate, version: str, shape: str) -> None:
    caller = emulate(contract=version, data=shape, progress="manual")
    job_id = caller.submit()
    caller.app.world.tenant(caller.key)
    waiting = caller.fetch(job_id)["data"]
    if shape == "null":
        assert waiting is None
    else:
        assert waiting["jobId"] == job_id
        assert waiting["imageUrl"] is None


def test_every_way_to_fetch_gives_the_same_bytes(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")
    job_id = caller.submit()
    answers = [
        caller.post("/flux/fetch", json={"jobId": job_id}),
        caller.post("/flux/fetch", data={"jobId": job_id}),
        caller.post("/flux/fetch", data={"jobId": job_id}, content_type="multipart/form-data"),
        caller.post("/flux/fetch", query_string={"jobId": job_id}),
        caller.http.get("/flux/fetch", query_string={"jobId": job_id}, headers=caller.headers),
    ]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.data for answer in answers}) == 1


def test_head_of_fetch_has_no_body(emulate: Emulate) -> None:
    caller = emulate(progress="immediate")
    job_id = caller.submit()
    answer = caller.http.head("/flux/fetch", query_string={"jobId": job_id}, headers=caller.headers)
    assert (answer.status_code, answer.data) == (200, b"")


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_generate_takes_forms_too(emulate: Emulate, kind: str) -> None:
    caller = emulate(progress="immediate")
    answer = caller.post("/flux/generate", data={**PROMPT, "prompt": "猫 & 🐈"}, content_type=kind)
    assert caller.fetch(answer.get_json()["data"]["jobId"])["data"]["prompt"] == "猫 & 🐈"


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, "1024x1024"),
        ({"aspect_ratio": "16:9"}, "1344x768"),
        ({"aspect_ratio": "9:21"}, "640x1536"),
        ({"size": "1024x1792"}, "1024x1792"),
        ({"size": "1792x1024", "aspect_ratio": "1:1"}, "1792x1024"),
    ],
)
def test_the_size_is_the_one_asked_for(emulate: Emulate, fields: dict[str, str], size: str) -> None:
    caller = emulate(progress="immediate")
    assert caller.fetch(caller.submit(**fields))["data"]["size"] == size


def test_unknown_fields_do_no_harm_and_are_remarked_on(emulate: Emulate) -> None:
    caller = emulate()
    answer = caller.generate(negative_prompt="dogs", seed=7, aspectRatio="1:1")
    assert answer.status_code == 200
    lint = caller.app.world.tenant(caller.key).journal.requests[-1].lint
    assert len(lint) == 3
    assert "did you mean 'aspect_ratio'" in explained(answer)


def test_edits_take_one_image_or_several(emulate: Emulate) -> None:
    caller = emulate()
    for count in (1, 3):
        images = [(picture(), f"{number}.png") for number in range(count)]
        assert caller.edit(*images).status_code == 200


@pytest.mark.parametrize(
    "disposition",
    [
        'form-data; name="image"; filename="猫 1.png"',
        'form-data; name="image"; filename="%E7%8C%AB%201.png"',
        "form-data; name=\"image\"; filename*=UTF-8''%E7%8C%AB%201.png",
    ],
    ids=["raw", "percent-encoded", "extended"],
)
def test_file_names_arrive_in_three_encodings(disposition: str) -> None:
    from mock_server.bodies import read_multipart

    body = (
        f"--b\r\nContent-Disposition: {disposition}\r\nContent-Type: image/png\r\n\r\nPNG\r\n"
        f'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n--b--\r\n'
    ).encode()
    form = read_multipart("multipart/form-data; boundary=b", body)
    assert [(part.name, part.filename, part.data) for part in form.files] == [("image", "猫 1.png", b"PNG")]
    assert form.fields == {"prompt": "x"}


def test_an_empty_file_name_is_still_a_file(emulate: Emulate) -> None:
    body = (
        b'--b\r\nContent-Disposition: form-data; name="image"; filename=""\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n" + picture() + b"\r\n"
        b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n'
        b'--b\r\nContent-Disposition: form-data; name="mode"\r\n\r\nflux1-dev\r\n--b--\r\n'
    )
    answer = emulate().post("/flux/edits", data=body, content_type="multipart/form-data; boundary=b")
    assert answer.status_code == 200, explained(answer)


def test_the_balance_runs_out(emulate: Emulate) -> None:
    caller = emulate(balance=9)
    assert caller.generate(mode="flux1-pro").status_code == 200
    assert caller.generate(mode="flux1-pro").status_code == 200
    refused = caller.generate(mode="flux1-pro")
    assert refused.status_code == 402
    assert "balance is 1 and flux1-pro costs 4" in explained(refused)
    assert caller.generate().status_code == 200


def test_the_queue_has_an_end(emulate: Emulate) -> None:
    caller = emulate(queue=2, progress="manual")
    jobs = [caller.submit() for _ in range(2)]
    assert caller.generate().status_code == 499
    from mock_server.control import TenantControl

    TenantControl(caller.app.world, caller.key).jobs.finish(jobs[0])
    assert caller.generate().status_code == 200


def test_too_many_calls_are_told_when_to_come_back(emulate: Emulate) -> None:
    caller = emulate(rate_limit="2/10s")
    assert [caller.generate().status_code for _ in range(3)] == [200, 200, 429]
    assert caller.generate().headers["Retry-After"] == "10"
    caller.app.world.tenant(caller.key).advance_to(1725926400.0 + 10)
    assert caller.generate().status_code == 200


def test_a_fault_of_ours_is_a_500_with_the_envelope(
    emulate: Emulate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caller = emulate()

    def broken(*_: object) -> None:
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(caller.app.world.tenant(caller.key), "submit", broken)
    answer = caller.generate()
    assert answer.status_code == 500
    assert answer.get_json() == {"status": "FAILED", "message": "Internal server error", "data": None}
    assert "broken on purpose" in caplog.text


def test_the_same_seed_and_key_give_the_same_bytes(emulate: Emulate) -> None:
    def transcript(seed: int) -> list[bytes]:
        caller = emulate(seed=seed, progress="polls:2")
        job_id = caller.submit()
        return [caller.post("/flux/fetch", json={"jobId": job_id}).data for _ in range(3)]

    assert transcript(1) == transcript(1)
    assert transcript(1) != transcript(2)
