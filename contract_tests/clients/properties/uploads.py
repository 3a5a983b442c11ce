"""Uploads: C49, C50 and C52. Only clients that take `image` can be judged."""

from __future__ import annotations

from contract_tests.clients.directives.base import Family
from contract_tests.clients.properties.base import (
    NOT_EXERCISED,
    PASSED,
    Judgement,
    Level,
    Need,
    Policy,
    failed,
    prop,
)
from contract_tests.clients.properties.multipart import Malformed, Part, means, read_strictly
from contract_tests.clients.properties.results import is_picture
from contract_tests.clients.story import Request, Story
from contract_tests.exchanges import Endpoint
from mock_server.bodies import read_multipart
from mock_server.contract import contract
from mock_server.errors import ApiError

_GENERIC = "application/octet-stream"
_PICTURE = "image"
_MANGLED = ("?", "\ufffd", "\\u", "=?", "&#")
# What is left of a name where somebody has forced it into ASCII.


@prop("C49", "multipart is well formed", Level.MUST, Family.UPLOAD, needs=[Need.EDITS], unseen="it uploaded nothing")
def well_formed_multipart(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: an edit is sent as multipart/form-data with its boundary, every field that the contract requires once,
        the picture as a file with no wrong type and with all its bytes; a strict reader and a kind one read the same.
    Observed: the body as RFC 7578 and RFC 2046 have it, letter by letter; the same as the emulator reads it; and the
        bytes of the picture. A file without a Content-Type of its own is let pass, as the RFC lets it.
    Source: S1 (image, prompt and mode as form fields), RFC 7578, 4.1 to 4.4.
    Usual bug: the Content-Type is set by hand, so that it has no boundary, or says application/json; json= and files=
        together, which drops the fields; a body built by hand; a file read as text.
    Fix: let the HTTP library make body and Content-Type (requests: data= and files=), and open the file in binary mode.
    """
    edits = [request for request in story.requests if request.endpoint is Endpoint.EDITS and request.method == "POST"]
    if not edits:
        return NOT_EXERCISED
    for request in edits:
        try:
            parts = read_strictly(_type(request), request.body)
        except Malformed as trouble:
            return failed(str(trouble))
        # What a retry sends is for C52 to judge.
        lost = _lost_bytes(parts, story) if request is edits[0] else ""
        why = _fault(parts, story) or lost or _other_reading(parts, request)
        if why:
            return failed(why)
    return PASSED


@prop(
    "C50",
    "names of files survive",
    Level.SHOULD,
    Family.UPLOAD,
    needs=[Need.EDITS],
    unseen="it sent no name of a file that is hard to write",
)
def surviving_filenames(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: the name of a file arrives as it was, whatever script it is in; it is not sent as filename*, which
        servers of forms need not know.
    Observed: the bytes of the header of the part. Raw UTF-8, percent-encoding, and quotes with a backslash or as %22
        all count as the name; a plain name of the client's own is not judged.
    Source: RFC 7578, 4.2 (no filename* in forms), 5.1 (names that are not ASCII). Tried: requests and httpx send raw
        UTF-8 with %22 for quotes, aiohttp percent-encodes the whole name, old urllib3 sent filename*.
    Usual bug: the name is forced into ASCII or Latin-1, or pasted into the header with its quotes.
    Fix: let the HTTP library write the header, or send a plain name of your own: the API does not need it.
    """
    exercised = False
    for request in story.requests:
        for part in _pictures(request):
            name = story.intent.filename
            if part.extended:
                return failed("it sends the name of the file as filename*, which RFC 7578 forbids")
            if part.filename is None or story.intent.image is None:
                continue
            if means(part.filename, name):
                exercised = exercised or not _is_plain(name)
            elif not part.filename.isascii() or any(mark in part.filename for mark in _MANGLED):
                return failed(f"{name!r} arrived as {part.filename!r}")
    return PASSED if exercised else NOT_EXERCISED


@prop(
    "C52",
    "a file is sent again whole",
    Level.MUST,
    Family.BUSY_UPLOAD,
    needs=[Need.EDITS],
    unseen="it sent no file a second time",
)
def file_sent_again_whole(story: Story, _policy: Policy) -> Judgement:
    """
    Invariant: when an upload that was refused for now is tried again, the file is in it as in the first attempt.
    Observed: the bytes of the picture in each attempt.
    Source: RFC 9110, 9.2.2 (a retry repeats the request).
    Usual bug: a file is opened outside of the loop, and is at its end when it is read for the second time.
    Fix: read the file into memory first, open it within the loop, or seek(0) before each attempt.
    """
    edits = [request for request in story.submissions if request.endpoint is Endpoint.EDITS]
    if len(edits) < 2 or len(story.intents) > 1:
        return NOT_EXERCISED
    first, *others = [[part.data for part in _pictures(request)] for request in edits]
    if not any(first):
        return NOT_EXERCISED
    for attempt, other in enumerate(others, start=2):
        if other != first:
            sizes = [sum(map(len, pictures)) for pictures in (other, first)]
            return failed(f"attempt {attempt} has {sizes[0]} bytes of the picture, the first one had {sizes[1]}")
    return PASSED


def _type(request: Request) -> str:
    return request.header("Content-Type") or ""


def _pictures(request: Request) -> list[Part]:
    """Return the pictures in an edit; none of what cannot be read."""
    if request.endpoint is not Endpoint.EDITS:
        return []
    try:
        parts = read_strictly(_type(request), request.body)
    except Malformed:
        return []
    return [part for part in parts if part.name == _PICTURE]


def _is_plain(name: str) -> bool:
    return name.isascii() and name.replace(".", "").isalnum()


def _fault(parts: list[Part], story: Story) -> str:
    """Return what is wrong with the parts of a form; "" for nothing."""
    for name in contract(story.contract).schemas["edits.request"]["required"]:
        count = sum(part.name == name for part in parts)
        if count == 0 or (count > 1 and name != _PICTURE):
            return f"the form has {count} fields {name!r}, and not one"
    for part in parts:
        is_file = part.filename is not None
        if part.name == _PICTURE and not is_file:
            return f"{_PICTURE} is a plain field, and not a file"
        kind = part.content_type.partition(";")[0].strip().lower()
        if part.name == _PICTURE and kind and kind != _GENERIC and not kind.startswith("image/"):
            return f"the picture has the Content-Type {kind}"
    return ""


def _lost_bytes(parts: list[Part], story: Story) -> str:
    """Return what has become of the picture, if it was harmed on its way; "" if not."""
    given = [intent.image for intent in story.intents if intent.image is not None]
    for part in parts:
        # A client may make another picture of it first; but a picture it must be.
        if given and part.name == _PICTURE and part.data not in given and not is_picture(part.data):
            return f"the picture arrived as {len(part.data)} bytes that are none (the file has {len(given[0])})"
    return ""


def _other_reading(parts: list[Part], request: Request) -> str:
    """Return what a kind reader, the emulator's, makes otherwise of the same body; "" for nothing."""
    try:
        form = read_multipart(_type(request), request.body)
        fields = {part.name: part.data.decode() for part in parts if part.filename is None}
    except ApiError as trouble:
        return trouble.explanation
    except UnicodeDecodeError:
        return "a field is not in UTF-8"
    if fields != form.fields:
        return f"the field {min(set(fields) ^ set(form.fields), default='prompt')!r} is read in two ways"
    files = [(part.name, part.data) for part in parts if part.filename is not None]
    if sorted(files) != sorted((part.name, part.data) for part in form.files):
        return "the files are read in two ways"
    return ""
