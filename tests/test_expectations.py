"""What is expected of calls, how many of them, and in what one that came differs."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journal_notes import FORM, JSON, Emulate, entry_of, steered
from support import picture

from mock_server.expectations import Amount, Difference, Expectation, differences, sent_fields
from mock_server.verification import Unverified

# Fields


def test_fields_are_read_from_wherever_they_came() -> None:
    fields = {"prompt": "a cat", "n": "1"}
    assert sent_fields(entry_of(fields)) == fields
    assert sent_fields(entry_of(urlencode(fields).encode(), content_type=FORM)) == fields
    assert sent_fields(entry_of(b"", method="GET", query="prompt=a+cat&n=1")) == fields
    assert sent_fields(entry_of({"n": 2}, query="prompt=a+cat&n=1")) == {"prompt": "a cat", "n": 2}
    assert sent_fields(entry_of(fields, content_type="text/plain")) == fields
    assert [sent_fields(entry_of(body)) for body in (b"[1]", b"{", b"", b"\xff")] == [{}] * 4


def test_fields_beside_a_large_file_are_read_although_the_body_is_cut(emulate: Emulate) -> None:
    caller = emulate()
    file = picture(size=(200, 200), kind="BMP")
    caller.edit((file, "a.bmp"), prompt="a cat", n="1")
    caller.edit((file, "a.bmp"), prompt="a cat", mode="nope")
    tenant = steered(caller)
    assert len(tenant.calls("edits", prompt="a cat")) == 2
    assert [entry.status for entry in tenant.calls("edits", mode="nope")] == [400]
    assert len(tenant.calls("edits", n=1)) == 1
    with pytest.raises(Unverified, match="prmpt: expected 'x', got no such field, but prompt='a cat'"):
        tenant.assert_called("edits", prmpt="x")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (json.dumps({"mode": "flux1-dev", "prompt": "x" * 20_000}).encode(), JSON),
        (urlencode({"mode": "flux1-dev", "prompt": "x" * 20_000}).encode(), FORM),
    ],
    ids=["json", "form"],
)
def test_what_is_no_longer_kept_of_a_body_is_said(body: bytes, kind: str) -> None:
    (difference,) = differences(entry_of(body, content_type=kind), Expectation(fields={"prompt": "x" * 20_000}))
    assert difference.got == f"none in what is kept of the body, 16384 of {len(body)} bytes"


def test_long_fields_beside_a_file_are_not_kept_and_that_is_said(emulate: Emulate) -> None:
    caller = emulate()
    caller.edit((picture(), "a.png"), prompt="x" * 20_000)
    with pytest.raises(Unverified, match="mode: expected 'a', got none in what is kept of the body, 16384 of"):
        steered(caller).assert_called("edits", mode="a")


# Differences


def is_short(text: str) -> bool:
    return len(text) < 3


@pytest.mark.parametrize(
    ("expected", "got", "words"),
    [
        ("a cat", "a dog", "expected 'a cat', got 'a dog'"),
        (1, "1", "expected 1, got '1'"),
        (1, True, "expected 1, got True"),
        (True, 1, "expected True, got 1"),
        (None, "x", "expected None, got 'x'"),
        (re.compile("^ca"), "a cat", "expected a match of '^ca', got 'a cat'"),
        (re.compile("7"), 5, "expected a match of '7', got 5"),
        (is_short, "long", "expected what is_short accepts, got 'long'"),
        (is_short, 5, "expected what is_short accepts, got 5, for which it raised TypeError("),
    ],
)
def test_a_value_that_is_not_as_expected_is_shown_beside_it(expected: Any, got: Any, words: str) -> None:
    (difference,) = differences(entry_of({"x": got}), Expectation(fields={"x": expected}))
    assert str(difference).startswith(f"x: {words}")


@pytest.mark.parametrize(
    ("expected", "got"),
    [("a", "a"), (1, 1.0), (None, None), ((1, 2), [1, 2]), (re.compile("a.*t"), "a cat"), (is_short, "ab"), ({}, {})],
)
def test_a_value_that_is_as_expected_is_no_difference(expected: Any, got: Any) -> None:
    assert differences(entry_of({"x": got}), Expectation(fields={"x": expected})) == ()


@pytest.mark.parametrize(("expected", "text"), [(1, "1"), (0.5, "0.5"), (True, "true"), (False, "False"), ("1", "1")])
def test_in_a_form_where_all_is_text_a_number_is_meant_by_its_digits(expected: Any, text: str) -> None:
    assert differences(entry_of(f"x={text}".encode(), content_type=FORM), Expectation(fields={"x": expected})) == ()


def test_of_long_texts_the_part_that_differs_is_shown() -> None:
    prompt = "a cat " * 50
    (difference,) = differences(entry_of({"prompt": prompt + "sits"}), Expectation(fields={"prompt": prompt + "runs"}))
    assert difference.expected.endswith("a cat runs'")
    assert difference.got.endswith("a cat sits'")
    assert len(str(difference)) < 200


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("hook_url", "no such field, but hookUrl='http://127.0.0.1:9/h': did you mean 'hookUrl'?"),
        ("promt", "no such field, but prompt='a cat': did you mean 'prompt'?"),
        ("size", "no such field"),
    ],
)
def test_a_field_under_another_name_is_found(name: str, hint: str) -> None:
    entry = entry_of({"prompt": "a cat", "hookUrl": "http://127.0.0.1:9/h"})
    assert differences(entry, Expectation(fields={name: "x"})) == (Difference(name, "'x'", hint),)


def test_endpoint_method_status_and_job_can_differ_too() -> None:
    entry = entry_of(b"", method="GET", path="/flux/fetch", status=404)
    expectation = Expectation("generate", None, 200, "an-id")
    assert [str(difference) for difference in differences(entry, expectation)] == [
        "path: expected /flux/generate, got /flux/fetch",
        "method: expected POST, got GET",
        "status: expected 200, got 404",
        "job_id: expected 'an-id', got no job",
    ]


@pytest.mark.parametrize(
    ("endpoint", "calls"),
    [
        (None, "gefi"), ("generate", "g"), ("edits", "e"), ("submit", "ge"), ("fetch", "f"), ("image", "i"),
        ("/flux/fetch", "f"), ("/nowhere", ""),
    ],
)  # fmt: skip
def test_an_endpoint_is_meant_by_its_name_or_its_path(endpoint: str | None, calls: str) -> None:
    came = {
        "g": entry_of({}),
        "e": entry_of(b"", path="/flux/edits", content_type="multipart/form-data"),
        "f": entry_of({}, path="/flux/fetch"),
        "i": entry_of(b"", method="GET", path="/2024-09-10/abc.webp"),
    }
    assert "".join(name for name, entry in came.items() if not differences(entry, Expectation(endpoint))) == calls


NAMES = st.text("abcdefgh", min_size=1, max_size=4)
VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5)
BODIES = st.dictionaries(NAMES, VALUES, min_size=1, max_size=5)


@given(BODIES)
def test_a_call_is_what_its_own_fields_describe(fields: dict[str, Any]) -> None:
    entry = entry_of(fields)
    assert differences(entry, Expectation("generate", "POST", 200, None, sent_fields(entry))) == ()


@given(BODIES, st.data())
def test_one_field_that_is_changed_is_one_difference(fields: dict[str, Any], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(fields)))
    changed = {
        **fields,
        name: data.draw(VALUES.filter(lambda value: (value, type(value)) != (fields[name], type(fields[name])))),
    }
    assert [difference.field for difference in differences(entry_of(fields), Expectation(fields=changed))] == [name]


@given(st.dictionaries(NAMES, st.text("abc &=%+é", max_size=5), min_size=1, max_size=5))
def test_the_same_fields_are_the_same_call_in_every_wrapping(fields: dict[str, str]) -> None:
    wrapped = [
        entry_of(fields),
        entry_of(urlencode(fields).encode(), content_type=FORM),
        entry_of(b"", query=urlencode(fields)),
    ]
    assert [differences(entry, Expectation(fields=fields)) for entry in wrapped] == [()] * 3


# How many


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_a_number_of_calls_is_held_against_its_bounds(came: int, low: int, more: int) -> None:
    assert (came in Amount.of(low)) is (came == low)
    assert (came in Amount.of(at_least=low)) is (came >= low)
    assert (came in Amount.of(at_most=low)) is (came <= low)
    assert (came in Amount.of(at_least=low, at_most=low + more)) is (low <= came <= low + more)
    assert (came in Amount.of()) is (came >= 1)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        (Amount.of(), "at least 1 call"), (Amount.of(0), "no call"), (Amount.of(2), "exactly 2 calls"),
        (Amount.of(at_most=1), "at most 1 call"), (Amount.of(at_least=2, at_most=3), "2 to 3 calls"),
    ],
)  # fmt: skip
def test_a_number_of_calls_is_worded(amount: Amount, words: str) -> None:
    assert str(amount) == words


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"endpoint": "genrate"},
            "^endpoint: expected one of generate, edits, .*, got 'genrate': did you mean 'generate'",
        ),
        ({"endpoint": 5}, "^endpoint: expected one of"),
        ({"times": -1}, "^times: expected a whole number, 0 or more, got -1$"),
        ({"at_least": True}, "^at_least: expected a whole number"),
        ({"at_most": 1.5}, "^at_most: expected a whole number"),
        (
            {"times": 1, "at_least": 1},
            "^times: expected it alone, got at_least or at_most, too: leave one of them out$",
        ),
        ({"at_least": 3, "at_most": 2}, "^at_least: expected no more than at_most, got 3 and 2: swap them$"),
        ({"status": "200"}, "^status: expected an HTTP status such as 200, got '200'$"),
        ({"job_id": 7}, "^job_id: expected the id of a job, got 7$"),
        ({"prompt": re.compile(b"x")}, "^prompt: expected a pattern for text, got one for bytes: write it without b$"),
        ({"fields": {"prompt": "a"}, "prompt": "b"}, "^prompt: expected it once, got it in fields and as an argument"),
    ],
)
def test_what_cannot_be_expected_is_said(emulate: Emulate, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        steered(emulate()).assert_called(**{"endpoint": "generate", **wrong})
