"""What differs between two versions of the contract, and whether it may break a client that believes the older one.

Who suffers depends on who sends. What the API sends (answers, webhooks) may break a client by becoming *wider*: another
value, a field that no longer comes. What the client sends may break by becoming *narrower*: a field that has become a
must, a value that is no longer taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, NamedTuple

from contract_tests.findings import Confidence
from contract_tests.shapes import Node, pointer_of, resolved
from mock_server.contract import contract

_STRUCTURE = {"$ref", "$defs", "oneOf", "type", "required", "properties", "items", "enum", "const"}
_WORDS = {
    "$schema", "$id", "title", "description", "examples", "default", "deprecated", "x-source", "x-confidence", "x-http",
}  # fmt: skip
_NOTHING_NEW = ("default", "deprecated", "x-confidence")
_LOWER, _UPPER = ("minLength", "minimum", "minItems"), ("maxLength", "maximum", "maxItems")


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """
    One thing that differs.

    Args:
        kind: what happened to what, such as `enum/added` or `field/renamed`.
        endpoint: the message, such as `fetch.response`.
        alternative: which shape of it: the name of a definition (`queued`), or the HTTP status of a refusal; "" when it
            has only one.
        pointer: JSON pointer into the message; `*` is any index. Of a renamed field the new name.
        old: what it was; None when there was nothing.
        new: what it is; None when there is nothing any more.
        breaking: whether a client that believes the old version may break.
        sources: S1 to S5, of what is now; of what was, where it is gone.
        confidence: how sure that is.
    """

    kind: str
    endpoint: str
    alternative: str
    pointer: str
    old: Any
    new: Any
    breaking: bool
    sources: tuple[str, ...] = ()
    confidence: Confidence = Confidence.NONE


class _Side(NamedTuple):
    """One of both versions: where we are in it, and what it says of the closest annotated place."""

    schemas: Mapping[str, Any]
    node: Node
    sources: tuple[str, ...] = ()
    confidence: Confidence = Confidence.NONE

    @property
    def schema(self) -> Mapping[str, Any]:
        return self.node.schema

    def at(self, step: str, schema: Mapping[str, Any]) -> _Side:
        inner = resolved(Node(self.node.file, f"{self.node.pointer}/{step}", schema), self.schemas)
        sources = tuple(schema.get("x-source", inner.schema.get("x-source", self.sources)))
        confidence = schema.get("x-confidence", inner.schema.get("x-confidence", self.confidence))
        return _Side(self.schemas, inner, sources, Confidence(confidence))


def diff(old: str, new: str) -> list[SchemaChange]:
    """
    Return what differs between two versions of the contract, message by message, in the order of the schemas.

    Raises:
        ValueError: there is no such version.
    """
    return diff_schemas(contract(old).schemas, contract(new).schemas)


def diff_schemas(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[SchemaChange]:
    """Return what differs between two sets of schemas, each by the name of its message, such as `fetch.response`."""
    changes: list[SchemaChange] = []
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        if was is None or now is None:
            kind = "message/added" if was is None else "message/removed"
            words = was and was.get("title", name), now and now.get("title", name)
            changes.append(SchemaChange(kind, name, "", "", *words, breaking=now is None))
            continue
        walk = _Walk(name)
        walk.compare(_root(old, name), _root(new, name), ())
        walk.refusals(was.get("x-http", {}), now.get("x-http", {}))
        changes += walk.changes
    return changes


def _root(schemas: Mapping[str, Any], name: str) -> _Side:
    schema = schemas[name]
    confidence = Confidence(schema.get("x-confidence", Confidence.NONE))
    return _Side(schemas, Node(name, "", schema), tuple(schema.get("x-source", ())), confidence)


class _Walk:
    """Goes through one message in both versions at once."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._sent_by_client = endpoint.endswith(".request") and not endpoint.startswith("callback.")
        self._alternative = ""
        self.changes: list[SchemaChange] = []

    def compare(self, old: _Side, new: _Side, path: tuple[str | int, ...]) -> None:
        self._alternatives(old, new, path)
        self._types(old, new, path)
        self._values(old, new, path)
        self._constraints(old, new, path)
        self._remarks(old, new, path)
        self._fields(old, new, path)
        if "items" in old.schema and "items" in new.schema:
            self.compare(old.at("items", old.schema["items"]), new.at("items", new.schema["items"]), (*path, "*"))

    def refusals(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Compare which HTTP statuses there are, and what each says."""
        for status in sorted(old.keys() | new.keys()):
            was, now = old.get(status), new.get(status)
            if was is None or now is None:
                there = was or now or {}
                kind = "status/added" if was is None else "status/removed"
                words = (was and was["meaning"], now and now["meaning"])
                self._refusal(kind, status, "", words, there, breaking=was is None)
            elif was["message"]["text"] != now["message"]["text"]:
                words = (was["message"]["text"], now["message"]["text"])
                self._refusal("text/changed", status, "/message", words, now["message"], breaking=False)

    def _refusal(
        self, kind: str, status: str, pointer: str, words: tuple[Any, Any], said: Mapping[str, Any], *, breaking: bool
    ) -> None:
        sources, confidence = tuple(said["x-source"]), Confidence(said["x-confidence"])
        self.changes.append(
            SchemaChange(kind, self._endpoint, status, pointer, *words, breaking, sources, confidence)
        )  # fmt: skip

    def _alternatives(self, old: _Side, new: _Side, path: tuple[str | int, ...]) -> None:
        was, now = _named(old.schema), _named(new.schema)
        for name in [*was, *(name for name in now if name not in was)]:
            self._alternative = name
            if name not in now:
                self._note("alternative/removed", path, name, None, old, breaking=self._sent_by_client)
            elif name not in was:
                self._note("alternative/added", path, None, name, new, breaking=not self._sent_by_client)
            else:
                self.compare(old.at(f"oneOf/{name}", was[name]), new.at(f"oneOf/{name}", now[name]), path)
            self._alternative = ""

    def _types(self, old: _Side, new: _Side, path: tuple[str | int, ...]) -> None:
        was, now = _types(old.schema), _types(new.schema)
        if was == now or was is None or now is None:
            if was != now:
                self._bound("type", path, was and sorted(was), now and sorted(now), (old, new), narrower=was is None)
            return
        words = sorted(was), sorted(now)
        if was < now:
            self._note("type/widened", path, *words, new, breaking=not self._sent_by_client)
        elif was > now:
            self._note("type/narrowed", path, *words, new, breaking=self._sent_by_client)
        else:
            self._note("type/changed", path, *words, new, breaking=True)

    def _values(self, old: _Side, new: _Side, path: tuple[str | int, ...]) -> None:
        was, now = _choices(old.schema), _choices(new.schema)
        if was is None or now is None:
            if was is not now:
                self._bound("enum", path, was, now, (old, new), narrower=was is None)
            return
        for value in was:
            if value not in now:
                self._note("enum/removed", path, value, None, new, breaking=self._sent_by_client)
        for value in now:
            if value not in was:
                self._note("enum/added", path, None, value, new, breaking=not self._sent_by_client)

    def _constraints(self, old: _Side, new: _Side, path: tuple[str | int, ...]) -> None:
        names = (old.schema.keys() | new.schema.keys()) - _STRUCTURE - _WORDS
        for name in sorted(names):
            was, now = old.schema.get(name), new.schema.get(name)
            if was == now:
                continue
            if was is None or now is None:
                self._bound(name, path, was, now, (old, new), narrower=was is None)
            elif name in _LOWER or name in _UPPER:
                self._bound(name, path, was, now, (old, new), narrower=(now > was) is (name in _LOWER))
            else:
                self._note("constraint/changed", path, {name: was}, {name: now}, new, breaking=True)

    def _bound(
        self, name: str, path: tuple[str | int, ...], was: Any, now: Any, sides: tuple[_Side, _Side], *, narrower: bool
    ) -> None:
        kind = "constraint/tightened" if narrower else "constraint/relaxed"
        words = (None if was is None else {name: was}, None if now is None else {name: now})
        self._note(kind, path, *words, sides[1], breaking=narrower is self._sent_by_client)

    def _remarks(self, old: _Side, new: _Side, path: tuple[str | int, ...]) -> None:
        for name in _NOTHING_NEW:
            was, now = old.schema.get(name), new.schema.get(name)
            if was != now:
                # What a client leaves out is filled in: it gets something else, without a word.
                breaking = name == "default" and self._sent_by_client
                self._note(f"{name.removeprefix('x-')}/changed", path, was, now, new, breaking=breaking)

    def _fields(self, old: _Side, new: _Side, path: tuple[str | int, ...]) -> None:
        was, now = old.schema.get("properties", {}), new.schema.get("properties", {})
        must_was, must_now = set(old.schema.get("required", ())), set(new.schema.get("required", ()))
        renamed = dict(_renamed(was, now))
        for name in was:
            target = renamed.get(name, name)
            before = old.at(f"properties/{name}", was[name])
            if target not in now:
                # A request may still have it, for what is unknown does no harm; but nobody listens any more.
                self._note("field/removed", (*path, name), name, None, before, breaking=True)
                continue
            after, below = new.at(f"properties/{target}", now[target]), (*path, target)
            if target != name:
                self._note("field/renamed", below, name, target, after, breaking=True)
            if (name in must_was) != (target in must_now):
                kind = "required/removed" if name in must_was else "required/added"
                breaking = (target in must_now) is self._sent_by_client
                self._note(kind, below, name in must_was, target in must_now, after, breaking=breaking)
            self.compare(before, after, below)
        for name in now:
            if name not in was and name not in renamed.values():
                breaking = self._sent_by_client and name in must_now
                self._note(
                    "field/added", (*path, name), None, name, new.at(f"properties/{name}", now[name]), breaking=breaking
                )

    def _note(self, kind: str, path: tuple[str | int, ...], old: Any, new: Any, said: _Side, *, breaking: bool) -> None:
        self.changes.append(
            SchemaChange(
                kind, self._endpoint, self._alternative, pointer_of(path), old, new, breaking, said.sources,
                said.confidence,
            )
        )  # fmt: skip


def _named(schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the alternatives of a schema by the name of their definition, or their number where they have none."""
    return {
        inner.get("$ref", str(number)).rpartition("/")[2]: inner for number, inner in enumerate(schema.get("oneOf", ()))
    }


def _types(schema: Mapping[str, Any]) -> set[str] | None:
    if "type" not in schema:
        return None
    told = schema["type"]
    return {told} if isinstance(told, str) else set(told)


def _choices(schema: Mapping[str, Any]) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _renamed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Return which fields are the same but for their spelling, such as `jobId` and `job_id`."""
    added = {_plain(name): name for name in new if name not in old}
    for name in old:
        target = added.get(_plain(name)) if name not in new else None
        if target is not None and _types(old[name]) == _types(new[target]):
            yield name, target


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def as_json(changes: list[SchemaChange], old: str, new: str) -> dict[str, Any]:
    """Return changes as a value for JSON: the versions, how many break, and each change with its fields by name."""
    return {
        "old": old,
        "new": new,
        "breaking": sum(change.breaking for change in changes),
        "changes": [{**asdict(change), "sources": list(change.sources)} for change in changes],
    }


def as_text(changes: list[SchemaChange], old: str, new: str) -> str:
    """Return changes for a person: message by message, in each the breaking ones first."""
    if not changes:
        return f"{old} → {new}: nothing that a client could notice\n"
    breaking = sum(change.breaking for change in changes)
    lines = [f"{old} → {new}: {len(changes)} changes, {breaking} of them may break a client"]
    for endpoint, group in groupby(changes, key=lambda change: change.endpoint):
        lines += ["", endpoint]
        for change in sorted(group, key=lambda change: not change.breaking):
            mark = "breaking" if change.breaking else "harmless"
            place = change.pointer or "(the whole)"
            if change.alternative:
                place += f" of {change.alternative}"
            sure = ", ".join((*change.sources, change.confidence.value))
            lines.append(f"  {mark}  {change.kind:<21}{place}: {_told(change)}  [{sure}]")
    return "\n".join(lines) + "\n"


def _told(change: SchemaChange) -> str:
    if change.old is None:
        return _shown(change.new)
    if change.new is None:
        return _shown(change.old)
    return f"{_shown(change.old)} → {_shown(change.new)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(inner)}" for name, inner in value.items())
    if isinstance(value, list):
        return " or ".join(map(_shown, value))
    return '""' if value == "" else str(value)
