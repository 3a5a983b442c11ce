"""Takes out of a report what must not be printed: secrets, and characters that a terminal or a parser acts on."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from contract_tests.checker import Report
from contract_tests.exchanges import Place
from contract_tests.findings import Finding
from contract_tests.secrets import bare_host, is_hook, is_secret

# Lengths have limits, so that a name of a megabyte takes no time.
_URL = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{0,20}://)([^\s\"'<>]*)")
_STRING = re.compile(r'"((?:\\.|[^"\\])*)("|$)')
_NAME = re.compile(r'"((?:\\.|[^"\\]){0,160})": ')
_VALUE = re.compile(r'"(?:\\.|[^"\\])*(?:"|$)|[\[{].*', re.DOTALL)
# A member whose name says what it is. Of a list or an object, all that follows belongs to it: examples may be cut.


def masked(report: Report) -> Report:
    """
    Return the report without secrets.

    URLs lose user info and query. A hook's URL loses its path too, for that is where chat services have their secret;
    and a value whose name says that it is a secret is left out.
    """
    return _mapped(replace(report, findings=tuple(_masked(finding) for finding in report.findings)), encodable)


def visible(report: Report) -> Report:
    """Return the report in characters that can be seen; each other one is written as its escape."""
    return _mapped(report, shown)


def shown(text: str) -> str:
    """Return a text in one line, without characters that cannot be seen."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text
    )


def _mapped(report: Report, change: Callable[[str], str]) -> Report:
    def place(old: Place) -> Place:
        return old._replace(file=change(old.file))

    return replace(
        report,
        findings=tuple(
            replace(
                finding,
                endpoint=change(finding.endpoint),
                pointer=change(finding.pointer),
                message=change(finding.message),
                example=change(finding.example),
                host=change(finding.host),
                place=place(finding.place),
                fact=finding.fact._replace(pointer=change(finding.fact.pointer)),
            )
            for finding in report.findings
        ),
        troubles=tuple(
            replace(trouble, place=place(trouble.place), why=change(_without_secrets(trouble.why)))
            for trouble in report.troubles
        ),
        contracts={change(host): choice for host, choice in report.contracts.items()},
        observed={change(host): seen for host, seen in report.observed.items()},
        coverage=report.coverage and tuple(covered._replace(host=change(covered.host)) for covered in report.coverage),
    )


def encodable(text: str) -> str:
    """Return a text that UTF-8 can express: the names of files may hold bytes that are none."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _masked(finding: Finding) -> Finding:
    name = finding.pointer.rpartition("/")[2]
    example = _of_name(name, finding.example)
    message = finding.message
    if finding.example and example != finding.example:
        message = message.replace(finding.example, example)
    return replace(
        finding,
        pointer=_without_secrets(finding.pointer),
        message=_without_secrets(message),
        example=_without_secrets(example),
    )


def _of_name(name: str, value: str) -> str:
    """Return a value as JSON, without what its name says is a secret."""
    if is_secret(name) and value[:1] in {'"', "[", "{"}:
        return '"…"'
    return _STRING.sub(lambda match: f'"{_origin(match[1])}{match[2]}', value) if is_hook(name) else value


def _without_secrets(text: str) -> str:
    return _URL.sub(_bare, _without_members(text))


def _without_members(text: str) -> str:
    pieces: list[str] = []
    done = at = 0
    while found := _NAME.search(text, at):
        at = found.end()
        value = _VALUE.match(text, at) if is_secret(found[1]) or is_hook(found[1]) else None
        if value is not None:
            pieces += text[done:at], _of_name(found[1], value[0])
            done = at = value.end()
    return "".join([*pieces, text[done:]])


def _bare(match: re.Match[str]) -> str:
    scheme, rest = match.groups()
    authority, tail = _split(rest)
    path = re.split(r"[?#]", tail, maxsplit=1)
    return f"{scheme}{_host(authority)}{path[0]}{'?…' if len(path) > 1 else ''}"


def _origin(url: str) -> str:
    scheme, mark, rest = url.partition("://")
    if not mark:
        return "…"
    authority, tail = _split(rest)
    return f"{scheme}://{bare_host(_host(authority), lambda _: '…')}{'/…' if tail else ''}"


def _split(rest: str) -> tuple[str, str]:
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    return authority, rest[len(authority) :]


def _host(authority: str) -> str:
    # An example that was cut short may end inside the user info.
    return "…" if authority.endswith("…") else authority.rpartition("@")[2]
