"""Words for the person behind the client: what was expected, what came, what to do.

Nothing here decides whether a request is accepted; it only explains.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mock_server.bodies import FORM, JSON, MULTIPART, media_type
from mock_server.contract import Contract, Problem, versions
from mock_server.contract import contract as load_contract
from mock_server.exchange import Call, shown
from mock_server.hooks.rules import HookRules

# Names that people write for a field, beyond those that merely look like it. `model` is in S3's own example.
_ALIASES = {
    "model": "mode",
    "text": "prompt",
    "description": "prompt",
    "webhook": "hookUrl",
    "webhook_url": "hookUrl",
    "callback": "hookUrl",
    "callback_url": "hookUrl",
    "notify_hook": "hookUrl",
    "ratio": "aspect_ratio",
    "id": "jobId",
    "task_id": "jobId",
    "input_image": "image",
    "file": "image",
    "files": "image",
}
NO_UPLOAD = "image is missing: upload it as multipart/form-data (requests: files=, curl: -F image=@FILE)"
"""Said when a body cannot hold a file."""

NO_IDS = frozenset({"undefined", "None", "null", "nil", "NaN", "[object Object]"})
"""What a program sends as an id that it never had."""

_LONGEST_COMPARED = 100
_MOST_REMARKS = 20
_FETCH_WORDS = frozenset({"fetch", "status", "result", "results", "query", "task", "tasks", "job", "jobs", "get"})
_KEY_HEADERS = ("X-API-KEY", "API-KEY", "TTAPI-KEY", "TT-APIKEY", "X-TT-API-KEY", "APIKEY", "TT-API-TOKEN")
_KEY_PARAMETERS = ("tt-api-key", "tt_api_key", "api_key", "apikey", "key")


def meant(name: str, known: Iterable[str]) -> str | None:
    """Return the field out of `known` that somebody who wrote `name` probably meant."""
    fields, name = list(known), name[:_LONGEST_COMPARED]
    plain = {_plain(field): field for field in fields}
    alias = _ALIASES.get(name.lower())
    if alias in fields:
        return alias
    close = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.75)
    return plain[close[0]] if close else None


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace("[]", "")


def missing_key(call: Call, keys: tuple[str, ...]) -> str:
    """Say why a request opened no tenant."""
    for name in (*call.dropped, *call.headers):
        if name != "HTTP_TT_API_KEY" and _letters(name.removeprefix("HTTP_")) == "ttapikey":
            written = name.removeprefix("HTTP_").replace("_", "-") if name in call.headers else name
            return f"the key came in the header {written}: write it TT-API-KEY, with hyphens (underscores get lost)"
    came = call.header("TT-API-KEY")
    if came is not None and came.strip():
        return f"the TT-API-KEY that came is none of the {len(keys)} allowed by --key"
    if came is not None:
        return "the TT-API-KEY header is empty: is the variable that holds your key set?"
    if call.header("Authorization") is not None:
        return "the key came as Authorization: this API reads it from the header TT-API-KEY, without Bearer"
    for name in _KEY_HEADERS:
        if call.header(name) is not None:
            return f"the key came in {name}: this API reads it from the header TT-API-KEY"
    query = call.query.lower()
    if any(f"{name}=" in query for name in _KEY_PARAMETERS):
        return "the key came in the query: send it in the header TT-API-KEY (a key in a URL ends up in logs)"
    return "expected the header TT-API-KEY, got none: any non-empty value works unless --key is set"


def wrong_method(call: Call, methods: tuple[str, ...]) -> str:
    """Say which method was meant."""
    if call.method in {"GET", "HEAD"} and "GET" not in methods:
        return (
            f"{call.path} takes POST, got {call.method}: a browser, a redirect that was followed, "
            f"or a call without method= sends GET"
        )
    cors = ": a browser asks so before a call to another origin, and this API is not for browsers (CORS)"
    return f"{call.path} takes {' or '.join(methods)}, got {call.method}{cors if call.method == 'OPTIONS' else ''}"


def unknown_path(call: Call, paths: Iterable[str]) -> str:
    """Say which path was meant."""
    known, came = list(paths), call.path.encode("latin-1", "replace").decode("utf-8", "replace")[:_LONGEST_COMPARED]
    tidy = "/" + "/".join(filter(None, came.lower().split("/")))
    first, _, rest = tidy.removeprefix("/flux/").partition("/")
    if tidy.startswith("/bfl/"):
        return f"{came} is the API's other dialect, which is not emulated; there are {', '.join(known)}"
    if tidy not in known and first in _FETCH_WORDS and tidy.startswith("/flux/"):
        return f"nothing is at {came}: ask /flux/fetch, with the id as ?jobId= or as JSON" + (
            " in the body" * bool(rest)
        )
    close = tidy if tidy in known else next(iter(difflib.get_close_matches(tidy, known, n=1, cutoff=0.6)), None)
    hint = f": did you mean {close}?" if close else f"; there are {', '.join(known)}"
    return f"nothing is at {came}{hint}"


def wrong_type(call: Call, *, takes: tuple[str, ...]) -> str:
    """Say which kind of body was expected."""
    wanted = " or ".join(takes)
    if not call.content_type:
        return f"expected a body of {wanted}, got one without Content-Type: set it to {takes[0]} (requests: json=)"
    return f"expected a body of {wanted}, got {media_type(call.content_type)}"


def disguised_body(call: Call) -> str | None:
    """Say when a body is of another kind than its Content-Type says; None when nothing of that sort is seen."""
    coding = call.header("Content-Encoding")
    if coding is not None and coding.lower() != "identity":
        return f"the body is compressed ({coding}), and compressed bodies are not read (assumed): send it plain"
    kind = media_type(call.content_type)
    start = call.body[:512].lstrip()
    if kind != MULTIPART and start.startswith(b"--") and b"form-data" in start:
        return (
            f"the body is multipart but Content-Type says {kind or 'nothing'}: do not set Content-Type by hand when "
            f"you upload files, the HTTP library writes it with the boundary"
        )
    if kind == FORM and start.startswith(b"{"):
        return "the body is JSON but Content-Type says form: send Content-Type: application/json (curl: -H)"
    if kind == JSON and start[:1] not in {b"{", b"["} and b"=" in start.partition(b"\n")[0]:
        return "the body looks like a form but Content-Type says JSON: in requests use json=, not data="
    return None


def fields(
    contract: Contract,
    schema: str,
    problems: tuple[Problem, ...],
    values: Mapping[str, Any],
    files: Sequence[str] = (),
) -> str:
    """Word all `problems` of a request in one line; `files` are the names of the parts that were files."""
    missing = [problem.detail for problem in problems if problem.rule == "required" and not problem.path]
    if files and {"prompt", "mode"} <= set(missing):
        return (
            "files came but neither prompt nor mode: in requests, json= is dropped when files= is given; "
            "pass the fields with data="
        )
    unknown = [name for name in (*values, *files) if name not in contract.fields[schema]][:_MOST_REMARKS]
    words: dict[str, str] = {}
    for problem in problems:
        # One field may break several rules; the first one says enough.
        name = problem.detail if problem.rule == "required" else ".".join(map(str, problem.path)) or "body"
        words.setdefault(name, _word(contract, schema, name, problem, values, unknown))
    return "; ".join(words.values())


def _word(
    contract: Contract, schema: str, name: str, problem: Problem, values: Mapping[str, Any], unknown: list[str]
) -> str:
    value = values.get(name)
    if problem.rule == "required":
        meant_it = next((sent for sent in unknown if meant(sent, contract.fields[schema]) == name), None)
        return f"{name} is missing" + (f": you sent {shown(meant_it)}, did you mean {name!r}?" if meant_it else "")
    if name == "image" and problem.rule == "type":
        return "image must be a file part with a filename, got a plain field: in curl -F image=@FILE"
    if name.startswith("image.") and problem.rule == "minimum":
        return "image is empty: 0 bytes came; was the file opened in binary mode, and read twice?"
    if name == "hookUrl" and problem.rule == "format":
        return HookRules().problem_with_url(str(value)) or f"hookUrl: {problem.detail}"
    if value is None and name in values:
        return f"{name} is null: is the variable that holds it set?"
    if value == "":
        return f"{name} is empty"
    if problem.rule == "enum":
        return _wrong_choice(contract, schema, name, value)
    return f"{name}: {problem.detail}"


def _wrong_choice(contract: Contract, schema: str, name: str, value: object) -> str:
    choices = contract.choices(schema, name)
    text = value[:_LONGEST_COMPARED] if isinstance(value, str) else ""
    return f"{name}: expected one of {', '.join(choices)}; got {shown(value)}{_elsewhere(contract, schema, name, text)}"


def _elsewhere(contract: Contract, schema: str, name: str, value: str) -> str:
    other_endpoint = "edits" if schema == "generate.request" else "generate"
    if value in contract.choices(f"{other_endpoint}.request", name):
        return f", which contract {contract.version} takes in /flux/{other_endpoint} only"
    for version in versions():
        if value in load_contract(version).choices(schema, name):
            return f", which contract {version} takes: --contract {version}"
    # A size or a ratio that looks alike is no better than any other.
    close = difflib.get_close_matches(value.lower(), contract.choices(schema, name), n=1, cutoff=0.6)
    return f", did you mean {close[0]!r}?" if close and value[:1].isalpha() else ""


def _hint(schema: str, name: str, known: Iterable[str], values: Mapping[str, Any]) -> str:
    if schema == "generate.request" and _ALIASES.get(name, name) == "image":
        return ": /flux/edits takes images"
    if schema == "edits.request" and name == "size":
        return ": /flux/edits takes aspect_ratio"
    close = meant(name, known)
    return f", did you mean {close!r}?" if close and close not in values else ""


def lint(contract: Contract, schema: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Remark on a request that is accepted: fields that the API does not know, and one that another overrides."""
    known = contract.fields[schema]
    unknown = [name for name in values if name not in known]
    remarks = [
        f"unknown field {shown(name)} is ignored{_hint(schema, name, known, values)}"
        for name in unknown[:_MOST_REMARKS]
    ]
    if len(unknown) > _MOST_REMARKS:
        remarks.append(f"{len(unknown) - _MOST_REMARKS} more unknown fields are ignored")
    if values.get("hookUrl", "") is None:
        remarks.append("hookUrl is null: taken as not given (assumed)")
    if "size" in values and "aspect_ratio" in values:
        remarks.append("size and aspect_ratio were both sent: size wins (assumed)")
    return tuple(remarks)
