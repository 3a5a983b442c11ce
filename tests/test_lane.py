"""The fast lane gives what Flask gives: bytes, headers, errors and journal."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server.app import create_app
from mock_server.hooks.deliverer import RecordingDeliverer
from mock_server.settings import Settings
from mock_server.world import World

JSON = "application/json"
FIELDS = ["prompt", "mode", "size", "aspect_ratio", "hookUrl", "model", "jobId", "x"]
VALUES = st.one_of(
    st.sampled_from(["flux1-dev", "flux-dev", "1024x1024", "16:9", "http://127.0.0.1:9/h", "http://u:p@x/", "", "猫"]),
    st.none(),
    st.integers(),
    st.text(max_size=4),
    st.lists(st.integers(), max_size=2),
)
BODIES = st.one_of(
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=5).map(lambda fields: json.dumps(fields).encode()),
    st.just(b'{"prompt": "a cat", "mode": "flux1-dev"}'),
    st.just(b'{"prompt": "a", "prompt": "b", "mode": "flux1-dev"}'),
    st.binary(max_size=20),
)
HEADERS = st.dictionaries(
    st.sampled_from(["HTTP_TT_API_KEY", "HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_HOST"]),
    st.sampled_from(
        ["a-key", "another-key", "", "unlisted", "example.test:80", "<bad>", "a..b", "[::1]:80", "x:99999"]
    ),
    max_size=3,
)


class Calls:
    """The same calls to two applications that differ in nothing but the lane."""

    def __init__(self) -> None:
        chosen = Settings.of(clock="auto", key=["a-key", "another-key"], rate_limit="40/5s", balance=12, max_body=200)
        self.apps = [
            create_app(world=World(chosen, deliverer=RecordingDeliverer()), fast_lane=lane) for lane in (True, False)
        ]
        self.job_id = "unknown"

    def both(self, call: dict[str, Any]) -> None:
        fast, slow = (_send(app.wsgi_app, call, self.job_id) for app in self.apps)
        assert fast == slow
        status, _, body = fast
        if call["path"] == "/flux/generate" and status.startswith("200"):
            self.job_id = json.loads(body)["data"]["jobId"]

    def assert_same_journals(self) -> None:
        fast, slow = (app.world for app in self.apps)
        for key in ("a-key", "another-key"):
            assert list(fast.tenant(key).journal) == list(slow.tenant(key).journal)
            assert fast.tenant(key).store.postings == slow.tenant(key).store.postings
        strays = [[(e.path, e.status, e.response_body, e.explanation) for e in w.strays.requests] for w in (fast, slow)]
        assert strays[0] == strays[1]

    def close(self) -> None:
        for app in self.apps:
            app.world.close()


def _send(app: Any, call: dict[str, Any], job_id: str) -> tuple[str, list[tuple[str, str]], bytes]:
    body = call["body"] if call["body"] is not None else json.dumps({"jobId": job_id}).encode()
    environ = {
        "REQUEST_METHOD": call["method"], "SCRIPT_NAME": "", "PATH_INFO": call["path"], "QUERY_STRING": call["query"],
        "CONTENT_TYPE": call["type"], "CONTENT_LENGTH": str(len(body)), "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8787", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1", "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http", "wsgi.errors": BytesIO(), "wsgi.multithread": True, "wsgi.multiprocess": False,
        "wsgi.run_once": False, "wsgi.input": BytesIO(body), **call["headers"],
    }  # fmt: skip
    started: list[Any] = []
    chunks = b"".join(app(environ, lambda status, headers, *_: started.append((status, headers))))
    ((status, headers),) = started
    return status, sorted(headers), chunks


CALLS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "HEAD"]),
        "path": st.sampled_from(["/flux/generate", "/flux/fetch"]),
        "query": st.sampled_from(["", "", "jobId=x", "jobId=%ff"]),
        "type": st.sampled_from([JSON, JSON, JSON, "", f"{JSON}; charset=utf-8", "text/plain", "multipart/form-data"]),
        "body": st.none() | BODIES,
        "headers": st.just({"HTTP_TT_API_KEY": "a-key", "HTTP_HOST": "x.test"}) | HEADERS,
    }
)


@settings(max_examples=150)
@given(st.lists(CALLS, min_size=1, max_size=12))
def test_with_and_without_the_lane_everything_is_the_same(calls: list[dict[str, Any]]) -> None:
    pair = Calls()
    try:
        for call in calls:
            pair.both(call)
        pair.assert_same_journals()
    finally:
        pair.close()


def test_the_lane_takes_what_it_is_for_and_nothing_else() -> None:
    app = create_app(Settings.of(max_body=100))
    good = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/flux/fetch",
        "CONTENT_TYPE": JSON,
        "CONTENT_LENGTH": "10",
    }
    assert app.lane.takes(good)
    for change in (
        {"REQUEST_METHOD": "GET"},
        {"PATH_INFO": "/flux/edits"},
        {"CONTENT_TYPE": "multipart/form-data"},
        {"CONTENT_LENGTH": "101"},
        {"CONTENT_LENGTH": "x"},
        {"fluxmock.refusal": "no"},
    ):
        assert not app.lane.takes(good | change), change
    app.world.close()
