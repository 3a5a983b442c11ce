"""What differs between versions is told as a client sees it: what may break it, and what does no harm."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from contract_tests.findings import Confidence
from contract_tests.schema_diff import as_json, as_text, diff, diff_schemas
from mock_server.contract import contract

OLD, NEW = "2024-09", "2026-03"
Schemas = dict[str, Any]
Edit = Callable[[Schemas], object]


def told(changes: Any) -> set[tuple[Any, ...]]:
    return {(it.kind, it.endpoint, it.alternative, it.pointer, it.old, it.new, it.breaking) for it in changes}


def test_everything_that_differs_between_the_versions_is_told() -> None:
    klein = ("flux-2-klein-4b", "flux-2-klein-9b")
    assert told(diff(OLD, NEW)) == {
        ("field/renamed", "generate.response", "", "/data/job_id", "jobId", "job_id", True),
        ("field/renamed", "edits.response", "", "/data/job_id", "jobId", "job_id", True),
        ("enum/added", "fetch.response", "queued", "/status", None, "PENDING_QUEUE", True),
        ("enum/removed", "generate.request", "", "/mode", "flux1-schnell", None, True),
        *(("enum/added", f"{name}.request", "", "/mode", None, mode, False) for name in ("generate", "edits") for mode in klein),
        ("default/changed", "fetch.response", "queued", "/message", "success", "", False),
        ("default/changed", "fetch.response", "success", "/message", "success", "", False),
        ("default/changed", "callback.request", "success", "/message", "success", "", False),
    }  # fmt: skip


def test_a_change_names_who_says_so_and_how_sure_it_is() -> None:
    sources = {(it.endpoint, it.kind): (it.sources, it.confidence) for it in diff(OLD, NEW)}
    assert sources["generate.response", "field/renamed"] == (("S2",), Confidence.DOCUMENTED)
    assert sources["generate.request", "enum/removed"] == (("S2",), Confidence.DOCUMENTED)


def test_a_version_differs_in_nothing_from_itself() -> None:
    assert diff(OLD, OLD) == []
    assert as_text([], OLD, OLD) == "2024-09 → 2024-09: nothing that a client could notice\n"


def test_there_and_back_every_change_turns_round() -> None:
    def plain(changes: Any, *, back: bool) -> set[tuple[Any, ...]]:
        turned = {"enum/added": "enum/removed", "enum/removed": "enum/added"}
        return {
            (turned.get(it.kind, it.kind), it.endpoint, it.new, it.old) if back else (it.kind, it.endpoint, it.old, it.new)
            for it in changes
        }  # fmt: skip

    assert plain(diff(OLD, NEW), back=False) == plain(diff(NEW, OLD), back=True)


def test_an_unknown_version_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^expected a contract version out of 2024-09, 2026-03, got '1999'$"):
        diff("1999", NEW)


def done(schemas: Schemas) -> Any:
    return schemas["fetch.response"]["$defs"]["success"]


def order(schemas: Schemas) -> Any:
    return schemas["generate.request"]


def quota(schemas: Schemas) -> Any:
    return done(schemas)["properties"]["data"]["properties"]["quota"]


ANSWERS: list[tuple[str, Edit, str, str, bool]] = [
    ("a field is gone", lambda it: done(it)["properties"]["data"]["properties"].pop("size"), "field/removed", "/data/size", True),
    ("a field came", lambda it: done(it)["properties"].update(x={"type": "string"}), "field/added", "/x", False),
    ("a field may be missing", lambda it: done(it)["properties"]["data"]["required"].remove("quota"), "required/removed", "/data/quota", True),
    ("a type became wider", lambda it: quota(it).update(type=["string", "null"]), "type/widened", "/data/quota", True),
    ("a type became another", lambda it: quota(it).update(type="number"), "type/changed", "/data/quota", True),
    ("a type became narrower", lambda it: done(it)["properties"]["message"].update(type="string"), "type/narrowed", "/message", False),
    ("any type will do", lambda it: quota(it).pop("type"), "constraint/relaxed", "/data/quota", True),
    ("a pattern is gone", lambda it: quota(it).pop("pattern"), "constraint/relaxed", "/data/quota", True),
    ("a pattern is another", lambda it: quota(it).update(pattern="^x$"), "constraint/changed", "/data/quota", True),
    ("a limit came", lambda it: quota(it).update(maxLength=5), "constraint/tightened", "/data/quota", False),
    ("a status came", lambda it: done(it)["properties"]["status"].update(enum=[done(it)["properties"]["status"].pop("const"), "DONE"]), "enum/added", "/status", True),
    ("an alternative is gone", lambda it: it["fetch.response"]["oneOf"].pop(), "alternative/removed", "", False),
    ("an alternative came", lambda it: it["fetch.response"]["oneOf"].append({"type": "null"}), "alternative/added", "", True),
]  # fmt: skip
ORDERS: list[tuple[str, Edit, str, str, bool]] = [
    ("a field became a must", lambda it: order(it)["required"].append("size"), "required/added", "/size", True),
    ("a field is no must", lambda it: order(it)["required"].remove("mode"), "required/removed", "/mode", False),
    ("a field that must be there came", lambda it: (order(it)["properties"].update(x={}), order(it)["required"].append("x")), "field/added", "/x", True),
    ("a field that may be there came", lambda it: order(it)["properties"].update(x={}), "field/added", "/x", False),
    ("a field is not heard any more", lambda it: order(it)["properties"].pop("size"), "field/removed", "/size", True),
    ("a value is gone", lambda it: order(it)["properties"]["size"]["enum"].pop(), "enum/removed", "/size", True),
    ("a value came", lambda it: order(it)["properties"]["size"]["enum"].append("1x1"), "enum/added", "/size", False),
    ("any value will do", lambda it: order(it)["properties"]["size"].pop("enum"), "constraint/relaxed", "/size", False),
    ("only some values will do", lambda it: order(it)["properties"]["prompt"].update(enum=["x"]), "constraint/tightened", "/prompt", True),
    ("a limit came", lambda it: order(it)["properties"]["prompt"].update(maxLength=9), "constraint/tightened", "/prompt", True),
    ("a limit is higher", lambda it: order(it)["properties"]["prompt"].update(minLength=2), "constraint/tightened", "/prompt", True),
    ("a limit is lower", lambda it: order(it)["properties"]["prompt"].update(minLength=0), "constraint/relaxed", "/prompt", False),
    ("unknown fields are refused", lambda it: order(it).update(additionalProperties=False), "constraint/tightened", "", True),
    ("a type became narrower", lambda it: order(it)["properties"]["hookUrl"].update(type="string"), "type/narrowed", "/hookUrl", True),
    ("a type became wider", lambda it: order(it)["properties"]["prompt"].update(type=["string", "null"]), "type/widened", "/prompt", False),
    ("what is left out means another", lambda it: order(it)["properties"]["aspect_ratio"].update(default="9:16"), "default/changed", "/aspect_ratio", True),
    ("a field is on its way out", lambda it: order(it)["properties"]["mode"].update(deprecated=True), "deprecated/changed", "/mode", False),
    ("a file must be larger", lambda it: it["edits.request"]["properties"]["image"]["items"]["properties"]["bytes"].update(minimum=2), "constraint/tightened", "/image/*/bytes", True),
]  # fmt: skip
REFUSALS: list[tuple[str, Edit, str, str, bool]] = [
    ("a status came", lambda it: it["error.response"]["x-http"].update({"418": it["error.response"]["x-http"]["404"]}), "status/added", "", True),
    ("a status is gone", lambda it: it["error.response"]["x-http"].pop("499"), "status/removed", "", False),
    ("a text is another", lambda it: it["error.response"]["x-http"]["400"]["message"].update(text="No"), "text/changed", "/message", False),
]  # fmt: skip
MESSAGES: list[tuple[str, Edit, str, str, bool]] = [
    ("an endpoint is gone", lambda it: it.pop("edits.request"), "message/removed", "", True),
    ("an endpoint came", lambda it: it.update({"upscale.request": {"title": "x"}}), "message/added", "", False),
]
CASES = [*ANSWERS, *ORDERS, *REFUSALS, *MESSAGES]


@pytest.mark.parametrize(
    ("edit", "kind", "pointer", "breaking"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_change_is_told_by_its_kind_and_by_whom_it_hurts(edit: Edit, kind: str, pointer: str, breaking: bool) -> None:
    old = contract(OLD).schemas
    new = copy.deepcopy(old)
    edit(new)
    changes = [it for it in diff_schemas(old, new) if not it.endpoint.startswith("callback")]
    assert [(it.kind, it.pointer, it.breaking) for it in changes] == [(kind, pointer, breaking)]


def test_a_webhook_is_seen_by_its_receiver() -> None:
    old = contract(OLD).schemas
    new = copy.deepcopy(old)
    new["callback.request"]["$defs"]["success"]["required"].remove("jobId")
    (change,) = diff_schemas(old, new)
    assert (change.kind, change.breaking, change.sources) == ("required/removed", True, ("S1", "S3"))


def test_the_text_has_what_breaks_first_in_each_message() -> None:
    lines = as_text(diff(OLD, NEW), OLD, NEW).splitlines()
    assert lines[0] == "2024-09 → 2026-03: 11 changes, 4 of them may break a client"
    assert "  breaking  field/renamed        /data/job_id: jobId → job_id  [S2, documented]" in lines
    assert '  harmless  default/changed      /message of success: success → ""  [S2, S3, documented]' in lines
    start = lines.index("generate.request") + 1
    assert [line.split()[0] for line in lines[start : start + 3]] == ["breaking", "harmless", "harmless"]


def test_the_json_has_the_same_for_programs() -> None:
    value = json.loads(json.dumps(as_json(diff(OLD, NEW), OLD, NEW)))
    assert (value["old"], value["new"], value["breaking"], len(value["changes"])) == (OLD, NEW, 4, 11)
    assert value["changes"][0] == {
        "kind": "default/changed",
        "endpoint": "callback.request",
        "alternative": "success",
        "pointer": "/message",
        "old": "success",
        "new": "",
        "breaking": False,
        "sources": ["S2", "S3"],
        "confidence": "documented",
    }
