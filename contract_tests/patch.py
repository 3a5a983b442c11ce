"""What would have to change in `schemas/` for the contract to accept a recording, as JSON Patches (RFC 6902).

A draft of the contract is widened by every message that it does not know, just as far as that message needs; so in the
end it knows them all. Nothing is made narrower, so what was accepted stays accepted.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from contract_tests.exchanges import Endpoint
from contract_tests.messages import Parsed, told_in
from contract_tests.shapes import Alternative, Kind, Path, pointer_of, type_of
from mock_server.contract import contract

Operation = dict[str, Any]

_MOST = 200
# Changes to one version: a recording of anything at all must not end in a contract that takes anything at all.
_LONGEST, _LONGEST_WORD = 100, 32
# Characters. What is longer may be a secret, and is not written down.
_SEEN = "Seen in a recording; no source describes it yet."
_NEWS = {"x-source": [], "x-confidence": "assumed"}
_MEASURES = {"minLength": len, "maxLength": len, "minItems": len, "maxItems": len}
_BOUNDS = ("minimum", "maximum")


class Patch(NamedTuple):
    """
    What to change in one schema file.

    Args:
        file: below `schemas/`, such as `2026-03/fetch.response.json`.
        because: for each operation the rule whose findings it ends.
        operations: the patch itself.
    """

    file: str
    because: tuple[str, ...]
    operations: tuple[Operation, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as it is written down; `patch` is what RFC 6902 describes."""
        return {"file": self.file, "because": list(self.because), "patch": list(self.operations)}


class _Amendment(NamedTuple):
    """
    One thing to be widened; the same from every message that needs it.

    Args:
        file: name of the schema.
        pointer: where in it.
        keyword: of JSON Schema: what is broken there; `properties` and `x-http` get a member that is not there yet.
        name: of the member of `required`, `properties` or `x-http`; else "".
        value: what must be accepted, as JSON.
        rule: id of the rule that was broken.
    """

    file: str
    pointer: str
    keyword: str
    name: str
    value: str
    rule: str


class Patcher:
    """
    Widens the contract by what it sees, for every version that it may turn out to be.

    Args:
        candidates: the versions.
    """

    def __init__(self, candidates: Sequence[str]) -> None:
        self._candidates = candidates
        self._hosts: dict[str, _Host] = {}

    def __call__(self, message: Parsed, host: str) -> None:
        """Take in one message."""
        seen = self._hosts.get(host)
        if seen is None:
            seen = self._hosts[host] = _Host(self._candidates)
        seen.note(message)

    def patches(self, contracts: Mapping[str, str]) -> list[Patch]:
        """Return what to change, file by file, with the version of the contract that each host was held against."""
        made: list[Patch] = []
        for version in sorted(set(contracts.values())):
            hosts = [self._hosts[host] for host, one in contracts.items() if one == version and host in self._hosts]
            amendments = dict.fromkeys(one for host in hosts for one in host.drafts[version].amendments)
            amendments |= dict.fromkeys(_said(version, hosts))
            made += _patches(version, amendments)
        return made

    def left_out(self, contracts: Mapping[str, str]) -> int:
        """Return how many messages no patch makes acceptable, without opening the contract for anything."""
        return sum(self._hosts[host].drafts[one].left_out for host, one in contracts.items() if host in self._hosts)


class _Host:
    def __init__(self, candidates: Sequence[str]) -> None:
        self.drafts = {version: _Draft(version) for version in candidates}
        self.texts: dict[int, set[str]] = {}
        # Of refusals, by status: nothing, one, or two that stand for many.

    def note(self, message: Parsed) -> None:
        status = message.exchange.status
        if status is not None and status in range(400, 600) and message.endpoint not in _NO_REFUSALS:
            texts = self.texts.setdefault(status, set())
            text = message.response.get("message") if isinstance(message.response, dict) else None
            if isinstance(text, str) and len(texts) < 2:
                texts.add(text)
        for name, value in told_in(message):
            for draft in self.drafts.values():
                draft.widen(name, value)


_NO_REFUSALS = {Endpoint.CALLBACK, Endpoint.IMAGE}


class _Draft:
    """One version of the contract, as wide as one host needs it."""

    def __init__(self, version: str) -> None:
        self._contract = copy.copy(contract(version))
        self._contract.schemas = copy.deepcopy(self._contract.schemas)
        self._kinds: dict[str, Kind] = {}
        self.amendments: dict[_Amendment, None] = {}
        self.left_out = 0

    def widen(self, name: str, value: Any) -> None:
        """Change the draft until it knows `value`, if it can be done."""
        while not self._knows(name, value):
            wanted = [one for one in self._wanted(name, value) if one not in self.amendments and _is_plain(one)]
            if not wanted or len(self.amendments) + len(wanted) > _MOST:
                self.left_out += 1
                return
            for one in wanted:
                self.amendments[one] = None
                schema = self._contract.schemas[one.file]
                for operation in _operations(schema, one):
                    _apply(schema, operation)
            self._kinds.clear()

    def _kind(self, name: str) -> Kind:
        found = self._kinds.get(name)
        if found is None:
            found = self._kinds[name] = Kind(self._contract, name)
        return found

    def _knows(self, name: str, value: Any) -> bool:
        of_name = self._kind(name)
        # Clients may send what the contract does not know.
        return next(of_name.alternatives[0].errors(value), None) is None if _is_sent(name) else of_name.knows(value)

    def _wanted(self, name: str, value: Any) -> Iterator[_Amendment]:
        of_name = self._kind(name)
        one = of_name.alternative(value) or min(of_name.alternatives, key=lambda it: len(list(it.errors(value))))
        for note, error in zip(one.problems(name, value), one.errors(value), strict=True):
            rule = "request/accepted" if _is_sent(name) else note.rule
            wanted = _broken(one, value, tuple(error.instance_path), error.kind, rule)
            if wanted is not None:
                yield wanted
        if not _is_sent(name):
            yield from _unknown(one, value, ())


def _is_sent(name: str) -> bool:
    return name.endswith(".request") and name != Endpoint.CALLBACK.request


def _broken(one: Alternative, value: Any, path: Path, kind: Any, rule: str) -> _Amendment | None:
    """Return what ends an error of the validator."""
    node = one.node(path)
    if node is None:
        return None
    keyword = kind.name
    if keyword == "required":
        return _Amendment(node.file, node.pointer, keyword, str(kind.as_dict()["property"]), "", rule)
    if keyword not in node.schema:
        return None
    found = _at(value, path)
    if keyword == "type":
        found = type_of(found)
    elif keyword in _MEASURES:
        found = _MEASURES[keyword](found)
    elif keyword not in {"enum", "const", *_BOUNDS}:
        found = None
    return _Amendment(node.file, node.pointer, keyword, "", json.dumps(found), rule)


def _unknown(one: Alternative, value: Any, path: Path) -> Iterator[_Amendment]:
    """Return what makes the unknown fields of `value` known, at any depth."""
    if isinstance(value, list):
        for inner in value:
            yield from _unknown(one, inner, (*path, 0))
    node = one.node(path)
    if not isinstance(value, dict) or node is None or "properties" not in node.schema:
        return
    for name, inner in value.items():
        if name in node.schema["properties"]:
            yield from _unknown(one, inner, (*path, name))
        else:
            yield _Amendment(node.file, node.pointer, "properties", name, json.dumps(_property(inner)), "field/unknown")


def _property(value: object) -> Mapping[str, Any]:
    return {"description": _SEEN, "type": type_of(value), **_NEWS}


def _said(version: str, hosts: Iterable[_Host]) -> Iterator[_Amendment]:
    """Return what ends findings about the status of refusals, and about their messages where these are all the same."""
    known = contract(version).schemas["error.response"]["x-http"]
    texts: dict[int, set[str]] = {}
    for host in hosts:
        for status, said in host.texts.items():
            texts.setdefault(status, set()).update(said)
    for status in sorted(texts):
        text = next(iter(texts[status])) if len(texts[status]) == 1 else None
        if text is not None and not _is_plain_text(text):
            text = None
        if str(status) not in known:
            phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else f"status {status}"
            entry = {"meaning": phrase, **_NEWS, "message": {"text": phrase if text is None else text, **_NEWS}}
            yield _Amendment("error.response", "", "x-http", str(status), json.dumps(entry), "status/unknown")
        elif text is not None and text != known[str(status)]["message"]["text"]:
            pointer = f"/x-http/{status}/message"
            yield _Amendment("error.response", pointer, "text", "", json.dumps(text), "message/changed")


def _is_plain(amendment: _Amendment) -> bool:
    value = json.loads(amendment.value or "null")
    if amendment.keyword in {"enum", "const"} and isinstance(value, (list, dict)):
        return False
    return _is_plain_text(amendment.name) and (not isinstance(value, str) or _is_plain_text(value))


def _is_plain_text(text: str) -> bool:
    """Whether it may be written down: it is short, and has no word that could be a secret."""
    return len(text) <= _LONGEST and text.isprintable() and all(len(word) <= _LONGEST_WORD for word in text.split())


# Patches


def _patches(version: str, amendments: Iterable[_Amendment]) -> Iterator[Patch]:
    schemas = copy.deepcopy(contract(version).schemas)
    because: dict[str, list[str]] = {}
    operations: dict[str, list[Operation]] = {}
    for one in amendments:
        for operation in _operations(schemas[one.file], one):
            _apply(schemas[one.file], operation)
            because.setdefault(one.file, []).append(one.rule)
            operations.setdefault(one.file, []).append(operation)
    for file in sorted(operations):
        yield Patch(f"{version}/{file}.json", tuple(because[file]), tuple(operations[file]))


def _operations(schema: Any, one: _Amendment) -> list[Operation]:
    """Return what makes a schema accept what it must; nothing where it does so already."""
    there = _found(schema, one.pointer)
    value = json.loads(one.value or "null")
    # Somebody else may have made an enumeration of the constant.
    keyword = "enum" if one.keyword == "const" and "enum" in there else one.keyword
    at = f"{one.pointer}/{keyword}"
    if keyword not in there:
        return []
    said = there[keyword]
    match keyword:
        case "properties" | "x-http":
            return [] if one.name in said else [_add(at + pointer_of((one.name,)), value)]
        case "required":
            return [{"op": "remove", "path": f"{at}/{said.index(one.name)}"}] if one.name in said else []
        case "type":
            types = [said] if isinstance(said, str) else said
            if value in types:
                return []
            return [_add(f"{at}/-", value)] if types is said else [_replace(at, [*types, value])]
        case "enum":
            return [] if value in said else [_add(f"{at}/-", value)]
        case "const":
            return [{"op": "remove", "path": at}, _add(f"{one.pointer}/enum", [said, value])]
        case "text":
            return [_replace(at, value)]
        case keyword if keyword.startswith("min"):
            return [_replace(at, value)] if value < said else []
        case keyword if keyword.startswith("max"):
            return [_replace(at, value)] if value > said else []
    return [{"op": "remove", "path": at}]


def _add(path: str, value: Any) -> Operation:
    return {"op": "add", "path": path, "value": value}


def _replace(path: str, value: Any) -> Operation:
    return {"op": "replace", "path": path, "value": value}


def _apply(schema: Any, operation: Operation) -> None:
    """Apply one of the operations that are made here; each is about a member that has a parent."""
    parent, _, name = operation["path"].rpartition("/")
    holder = _found(schema, parent)
    key: Any = name.replace("~1", "/").replace("~0", "~")
    if isinstance(holder, list):
        key = len(holder) if key == "-" else int(key)
    # The patch is not to change with the schema.
    value = copy.deepcopy(operation.get("value"))
    if operation["op"] == "remove":
        del holder[key]
    elif isinstance(holder, list) and operation["op"] == "add":
        holder.insert(key, value)
    else:
        holder[key] = value


def _found(schema: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        schema = schema[int(step) if isinstance(schema, list) else step.replace("~1", "/").replace("~0", "~")]
    return schema


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value
