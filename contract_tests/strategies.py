"""Hypothesis strategies for messages and scenarios: what fits the contract, and what just does not.

```python
from hypothesis import given

from contract_tests import strategies


@given(answer=strategies.responses("fetch"))
def test_my_client_reads_every_answer(answer): ...
```

Values are what JSON holds: no NaN, no lone surrogates. Which values are allowed is read from `schemas/`. This module,
and no other of the kit, needs the package hypothesis.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from contract_tests.clients.directives.drawn import scenarios
from contract_tests.shapes import kind
from mock_server.contract import Contract, contract, versions
from mock_server.scenarios.files import ScenarioError, parse_scenario

Message = dict[str, Any]
Path = tuple[str | int, ...]

__all__ = [
    "hooks", "invalid_hooks", "invalid_requests", "invalid_responses", "invalid_scenarios", "mutated", "requests",
    "responses", "scenarios",
]  # fmt: skip

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_PROMPT = st.one_of(
    st.sampled_from(["a cute cat", "漂亮的亚洲女孩和一只猫的合影", "🐈\u200d⬛", "[mock:fail]", " ", "\n"]),
    _TEXT.filter(bool),
)
_ID = st.uuids().map(str)
_HOOK = st.builds(
    "{}://{}{}{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["127.0.0.1:9000", "hooks.example.com", "[::1]:8080", "localhost"]),
    st.sampled_from(["", "/", "/hook", "/d47a918bcf231bfd4dcd1f63c2cb4c80"]),
    st.sampled_from(["", "?a=1&b=%20", "#x"]),
)
_DAY = st.dates().map(str)
_IMAGE = st.builds(
    "{}/{}/{}.webp".format,
    st.sampled_from(["https://cdnb.ttapi.io", "http://127.0.0.1:8787"]),
    _DAY,
    st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=32, max_size=32),
)
_QUOTA = st.one_of(st.integers(0, 999).map(str), st.decimals(0, 99, places=2).map(str))
_SIDE = st.integers(1, 4096)
_MESSAGE = st.one_of(st.sampled_from(["success", "", None]), _TEXT)
_UNKNOWN = st.dictionaries(
    st.sampled_from(["seed", "model", "negative_prompt", "progress", "x"]),
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), _TEXT, st.builds(lambda: {"a": [1]})),
    max_size=2,
)
_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2),
    st.sampled_from([1.0, 0.5, 1e300]),
    _TEXT,
    st.sampled_from(["", " ", "SUCCESS", "success", "FAILED", "ON_QUEUE", "undefined", "NaN", "cat.png"]),
    st.sampled_from(["0", "1.", "１", "0x0", "1024X1024"]),
    st.sampled_from(["http://", "http://a b", "//x", "a:", "http://ä/", "http://x/%zz"]),
    # Made anew each time: what is drawn may be changed.
    st.builds(list),
    st.builds(dict),
    st.builds(lambda: [{}]),
)


_SPOILT = ["{}\n", "{} ", " {}", "{}x", "{{{}}}", "{}\u0000", "٠{}", "urn:uuid:{}"]


def requests(endpoint: str, version: str | None = None) -> SearchStrategy[Message]:
    """
    Return a strategy of requests that the API takes, as their fields.

    Args:
        endpoint: "generate", "edits" or "fetch". A file of "edits" is an object that describes it, as in the schema.
        version: of the contract; None is the newest.

    Raises:
        ValueError: there is no such endpoint or version.
    """
    return _kinds(_version(version), "request")[_known(endpoint, "generate", "edits", "fetch")]


def responses(endpoint: str, version: str | None = None) -> SearchStrategy[Message]:
    """
    Return a strategy of the bodies that the API answers: those of 200, and with "error" those of a refusal.

    Args:
        endpoint: "generate", "edits", "fetch" or "error".
        version: of the contract; None is the newest.

    Raises:
        ValueError: there is no such endpoint or version.
    """
    return _kinds(_version(version), "response")[_known(endpoint, "generate", "edits", "fetch", "error")]


def hooks(version: str | None = None) -> SearchStrategy[Message]:
    """Return a strategy of the bodies of webhooks; ValueError for an unknown version."""
    return _ended(_version(version))


def invalid_requests(endpoint: str, version: str | None = None) -> SearchStrategy[Any]:
    """Return a strategy of requests that the contract refuses for one reason or a few; as for `requests`."""
    return _invalid(f"{endpoint}.request", requests(endpoint, version), _version(version))


def invalid_responses(endpoint: str, version: str | None = None) -> SearchStrategy[Any]:
    """Return a strategy of bodies that no answer may have, as a broken server sends them; as for `responses`."""
    return _invalid(f"{endpoint}.response", responses(endpoint, version), _version(version))


def invalid_hooks(version: str | None = None) -> SearchStrategy[Any]:
    """Return a strategy of bodies that no webhook may have; ValueError for an unknown version."""
    return _invalid("callback.request", hooks(version), _version(version))


@st.composite
def invalid_scenarios(draw: DrawFn) -> Any:
    """Draw what `schemas/scenario.schema.json` refuses, and so `fluxmock scenarios lint` and `serve --scenario`."""
    value = draw(mutated(scenarios()))
    try:
        parse_scenario(json.dumps(value))
    except ScenarioError:
        return value
    # A change that did no harm: without rules it is none, which is one.
    return {name: inner for name, inner in value.items() if name != "rules"}


@st.composite
def mutated(draw: DrawFn, valid: SearchStrategy[Any]) -> Any:
    """
    Change one to three places of a value that `valid` draws. What comes may fit all the same.

    A place is removed, named otherwise, put into an array, given another value, or a text is spoilt at its end.
    """
    value = copy.deepcopy(draw(valid))
    for _ in range(draw(st.integers(1, 3))):
        value = _changed(draw, value)
    return value


def _changed(draw: DrawFn, value: Any) -> Any:
    path = draw(st.sampled_from(_paths(value)))
    if not path:
        return draw(_JUNK) if draw(st.integers(0, 9)) == 0 else value
    holder = value
    for step in path[:-1]:
        holder = holder[step]
    last = path[-1]
    deed = draw(st.sampled_from(["remove", "rename", "wrap", "spoil", "replace"]))
    if deed == "remove":
        del holder[last]
    elif deed == "rename" and isinstance(last, str):
        holder[draw(st.sampled_from([last.upper(), f"{last} ", _other_case(last)]))] = holder.pop(last)
    elif deed == "wrap":
        holder[last] = [holder[last]]
    elif deed == "spoil" and isinstance(holder[last], str):
        holder[last] = draw(st.sampled_from(_SPOILT)).format(holder[last])
    else:
        holder[last] = draw(_JUNK)
    return value


def _other_case(name: str) -> str:
    if "_" in name:
        return re.sub(r"_(\w)", lambda found: found[1].upper(), name)
    return re.sub(r"([A-Z])", r"_\1", name).lower()


def _paths(value: Any, path: Path = ()) -> list[Path]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for step, below in inner for found in _paths(below, (*path, step)))]


@st.composite
def _invalid(draw: DrawFn, name: str, valid: SearchStrategy[Any], version: Contract) -> Any:
    value = draw(mutated(valid))
    if not version.accepts(name, value):
        return value
    # A change that did no harm: leave out what must be there, which does.
    kept = dict(value)
    del kept[draw(st.sampled_from(sorted(_required(name, value, version))))]
    return kept


def _required(name: str, value: Message, version: Contract) -> set[str]:
    one = kind(version.version, name).alternative(value)
    return set(one.root.schema["required"]) if one is not None else {"status"}


def _kinds(version: Contract, direction: str) -> dict[str, SearchStrategy[Message]]:
    if direction == "request":
        return {
            "generate": _order(version, "generate"),
            "edits": _order(version, "edits"),
            "fetch": _with_unknown(st.fixed_dictionaries({"jobId": st.one_of(_ID, _TEXT.filter(bool))})),
        }
    accepted = _accepted(version)
    return {
        "generate": accepted,
        "edits": accepted,
        "fetch": st.one_of(_unfinished(version), _ended(version)),
        "error": _refused(version),
    }


def _order(version: Contract, endpoint: str) -> SearchStrategy[Message]:
    name = f"{endpoint}.request"
    must: dict[str, SearchStrategy[Any]] = {
        "prompt": _PROMPT,
        "mode": st.sampled_from(version.choices(name, "mode")),
    }
    may: dict[str, SearchStrategy[Any]] = {
        field: st.sampled_from(version.choices(name, field))
        for field in ("size", "aspect_ratio")
        if version.choices(name, field)
    }
    if endpoint == "edits":
        file = {
            "filename": st.one_of(st.sampled_from(["cat.png", "", "猫.webp"]), _TEXT),
            "content_type": st.sampled_from(["image/png", "", "application/octet-stream"]),
            "bytes": st.integers(1, 2**40),
        }
        must["image"] = st.lists(st.fixed_dictionaries(file), min_size=1, max_size=3)
    return _with_unknown(st.fixed_dictionaries(must, optional={**may, "hookUrl": st.one_of(st.none(), _HOOK)}))


def _accepted(version: Contract) -> SearchStrategy[Message]:
    return _with_unknown(
        st.fixed_dictionaries(
            {
                "status": st.just("SUCCESS"),
                "message": _MESSAGE,
                "data": _with_unknown(st.fixed_dictionaries({version.id_field: _ID})),
            }
        )
    )


def _unfinished(version: Contract) -> SearchStrategy[Message]:
    return _job(st.sampled_from(version.queued_statuses), _MESSAGE, _no_result())


def _ended(version: Contract) -> SearchStrategy[Message]:
    result: dict[str, SearchStrategy[Any]] = {
        "mode": st.sampled_from(["flux-dev", *version.choices("edits.request", "mode")]),
        "jobId": _ID,
        "prompt": st.one_of(_PROMPT, st.just("")),
        "quota": _QUOTA,
        "size": st.builds("{}x{}".format, _SIDE, _SIDE),
        "imageUrl": _IMAGE,
        "hookUrl": st.one_of(st.none(), _HOOK),
    }
    reasons = st.one_of(st.sampled_from(["prompt violation", "insufficient quota", None]), _TEXT)
    return st.one_of(
        _job(st.just("SUCCESS"), _MESSAGE, _with_unknown(st.fixed_dictionaries(result))),
        _job(st.just("FAILED"), reasons, _no_result()),
    )


def _no_result() -> SearchStrategy[Message | None]:
    known: dict[str, SearchStrategy[Any]] = {
        "mode": st.one_of(st.none(), st.just("flux-dev")),
        "jobId": st.one_of(st.none(), _ID),
        "prompt": st.one_of(st.none(), _PROMPT),
        "quota": st.one_of(st.none(), _QUOTA),
        "size": st.one_of(st.none(), st.just("1024x1024")),
        "imageUrl": st.none(),
        "hookUrl": st.one_of(st.none(), _HOOK),
    }
    return st.one_of(st.none(), _with_unknown(st.fixed_dictionaries({}, optional=known)))


def _job(
    status: SearchStrategy[str], message: SearchStrategy[Any], data: SearchStrategy[Any]
) -> SearchStrategy[Message]:
    return _with_unknown(st.fixed_dictionaries({"status": status, "message": message, "jobId": _ID, "data": data}))


def _refused(version: Contract) -> SearchStrategy[Message]:
    texts = st.one_of(st.sampled_from(sorted(set(version.error_messages.values()))), _TEXT.filter(bool))
    return _with_unknown(st.fixed_dictionaries({"status": st.just("FAILED"), "message": texts, "data": st.none()}))


def _with_unknown(known: SearchStrategy[Message]) -> SearchStrategy[Message]:
    """Add fields that the contract does not know, seldom: clients and servers do so, and it does no harm."""
    nothing: SearchStrategy[Message] = st.builds(dict)
    some = st.one_of(nothing, nothing, _UNKNOWN)
    return st.builds(lambda fields, unknown: {**unknown, **fields}, known, some)


def _known(endpoint: str, *names: str) -> str:
    if endpoint not in names:
        raise ValueError(f"expected an endpoint out of {', '.join(names)}, got {endpoint!r}")
    return endpoint


def _version(name: str | None) -> Contract:
    return contract(versions()[-1] if name is None else name)
