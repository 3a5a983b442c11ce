"""Elements are cut out of a JSON document whole, however it is written, and however it comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contract_tests.exchanges import Place, Trouble
from contract_tests.readers.cutting import Cutter, read_array

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.text(max_size=20)
    | st.sampled_from(['"', "\\", '\\"]}']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=25,
)


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        size = sizes[at % len(sizes)]
        yield data[at : at + size]
        at += size


@given(
    elements=st.lists(VALUES, max_size=5),
    before=VALUES,
    indent=st.sampled_from([None, 0, 2]),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5) | st.just([10_000]),
    ascii_only=st.booleans(),
)
def test_elements_are_cut_out_whole_however_the_document_comes(
    elements: list[Any], before: Any, indent: int | None, sizes: list[int], ascii_only: bool
) -> None:
    document = {"before": before, "log": {"x": before, "entries": elements, "after": before}, "after": before}
    data = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    cutter = Cutter(pieces(data, sizes))
    assert [json.loads(cutter.value() or b"") for _ in cutter.array_at(("log", "entries"))] == elements
    assert cutter.peek() == -1


def test_values_nested_deeper_than_one_match_reaches_are_cut_out() -> None:
    deep: Any = "]}"
    for _ in range(300):
        deep = [{"x": deep}]
    data = json.dumps([deep, 1]).encode()
    cutter = Cutter(iter([b'{"a": ' + data + b"}"]))
    assert [json.loads(cutter.value() or b"") for _ in cutter.array_at(("a",))] == [deep, 1]


def test_a_value_over_the_limit_is_skipped() -> None:
    data = b'{"a": ["' + b"x" * 100 + b'", [' + b"1," * 50 + b"1], " + b"9" * 100 + b', "y"]}'
    for size in (7, 1000):
        cutter = Cutter(pieces(data, [size]))
        found = [cutter.value(limit=20) for _ in cutter.array_at(("a",))]
        assert found[-1] == b'"y"'
        assert size == 1000 or found[:3] == [None, None, None]


def read_all(data: bytes, sizes: list[int]) -> list[Any]:
    found: list[Any] = []

    def convert(_place: Place, value: Any) -> list[Trouble]:
        found.append(value)
        return []

    found += read_array("file", pieces(data, sizes), ("entries",), convert)
    return found


@given(
    elements=st.lists(
        st.fixed_dictionaries({"first": VALUES}, optional={"second": VALUES, "third": st.just([{"first": 1}] * 3)})
        | VALUES,
        max_size=12,
    ),
    indent=st.sampled_from([None, 0, 2]),
    separators=st.sampled_from([None, (",", ":"), (" ,\r\n", " : ")]),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5) | st.sampled_from([[50], [200], [10_000]]),
)
def test_elements_of_one_kind_are_read_as_they_are(
    elements: list[Any], indent: int | None, separators: tuple[str, str] | None, sizes: list[int]
) -> None:
    """The end of an object is guessed from that of the last; what is within one looks like it, too."""
    data = json.dumps({"entries": elements}, indent=indent, separators=separators).encode("utf-8", "surrogatepass")
    assert read_all(data, sizes) == elements


def test_what_is_damaged_among_elements_of_one_kind_is_told_and_passed_over() -> None:
    whole = b'{"first": [{"first": 1}, {"first": 2}]}'
    found = read_all(b'{"entries": [' + b", ".join([whole, whole, b'{"first": [1,]}', whole]) + b"]}", [1000])
    damaged = found.pop(2)
    assert found == [json.loads(whole)] * 3
    assert isinstance(damaged, Trouble)
    assert damaged.place == Place("file", 3)
    assert damaged.why.startswith("expected JSON: ")
