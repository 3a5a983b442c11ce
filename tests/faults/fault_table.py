"""Which faults there are, and what each client gets of them."""

from __future__ import annotations

from fault_model import Fault, Seen, all_get, by, on, seen

OTHER = "http://127.0.0.1:9999"
"""Stands in a rule for another server; JOB stands for the id of the job."""

HTML = {"body": "<h1>502 Bad Gateway</h1>", "headers": {"Content-Type": "text/html"}}
GERMAN = {"/message": "Schlüssel"}
LATIN_1 = {"Content-Type": "application/json; charset=iso-8859-1"}
UTF_16 = {"Content-Type": "application/json; charset=utf-16"}
SUBMIT_TWICE = ("submit", "submit")
FETCH_TWICE = ("fetch", "fetch")
GET_TWICE = ("get", "get")

# Outcomes that come in several rows.
CUT = "requests.exceptions.ChunkedEncodingError"
OLD_CUT = "requests.exceptions.JSONDecodeError"  # urllib3 1.26, which requests still takes, does not count the bytes
LOST = "requests.exceptions.ConnectionError"
NO_JSON = by(
    "requests.exceptions.JSONDecodeError", "json.JSONDecodeError", "json.JSONDecodeError", "json.JSONDecodeError", "SyntaxError",
)  # fmt: skip
RESET = by(
    LOST, "httpx.ReadError", "aiohttp.ClientOSError", "ConnectionResetError", "TypeError: fetch failed (ECONNRESET)"
)
ENDED = by(
    LOST, "httpx.RemoteProtocolError", "aiohttp.ServerDisconnectedError", "http.client.RemoteDisconnected",
    "TypeError: fetch failed (UND_ERR_SOCKET)",
)  # fmt: skip
SHORT = by(
    seen(CUT, OLD_CUT), "httpx.RemoteProtocolError", "aiohttp.ClientPayloadError", "http.client.IncompleteRead",
    "TypeError: terminated (UND_ERR_RES_CONTENT_LENGTH_MISMATCH)",
)  # fmt: skip
REPEATED = {"aiohttp": seen("value; value", requests=3)}


def refused(status: int, message: str) -> dict[str, Seen]:
    """Return what the clients get of the envelope of a refusal."""
    envelope = f'{status}, {{"status": "FAILED", "message": "{message}", "data": null}}'
    return by(envelope, envelope, envelope, f"urllib.error.HTTPError {status}", envelope)


def second(call: dict[str, Seen]) -> dict[str, Seen]:
    """Return that a first call gives its value, and a second one what `call` says."""
    return {name: seen(*(f"value; {outcome}" for outcome in got.outcomes)) for name, got in call.items()}


GROUPS: dict[str, tuple[Fault, ...]] = {
    "Status codes": (
        Fault("402: the quota is used up", on("submit", status=402), refused(402, "insufficient quota"), charged=False),
        Fault(
            "429 with Retry-After",
            on("submit", status=429, headers={"Retry-After": "0"}),
            refused(429, "Too many requests"),
            charged=False,
        ),
        Fault("499: the queue is full", on("submit", status=499), refused(499, "Queue exhausted"), charged=False),
        Fault(
            "502 with a page of HTML, job not accepted",
            on("submit", status=502, **HTML),
            by(
                "502, requests.exceptions.JSONDecodeError",
                "502, json.JSONDecodeError",
                "502, aiohttp.ContentTypeError",
                "urllib.error.HTTPError 502",
                "502, SyntaxError",
            ),
            charged=False,
        ),
        Fault(
            "502 with a page of HTML, job accepted",
            on("submit", accepted=True, status=502, **HTML),
            by(
                "502, requests.exceptions.JSONDecodeError",
                "502, json.JSONDecodeError",
                "502, aiohttp.ContentTypeError",
                "urllib.error.HTTPError 502",
                "502, SyntaxError",
            ),
        ),
        Fault(
            "503 with Retry-After, to a fetch by GET",
            on("fetch", status=503, headers={"Retry-After": "0"}, body=""),
            by(
                "503, requests.exceptions.JSONDecodeError",
                "503, json.JSONDecodeError",
                "503, null",
                "urllib.error.HTTPError 503",
                "503, SyntaxError",
            ),
            calls=("get",),
        ),
    ),
    "Time": (
        Fault("late, but within the time limit", on("submit", delay=0.02), all_get("value")),
        Fault(
            "later than the time limit",
            on("submit", delay=30),
            by("requests.exceptions.ReadTimeout", "httpx.ReadTimeout", "TimeoutError", "TimeoutError", "TimeoutError"),
            timeout=0.2,
        ),
        Fault(
            "stalled in the middle of the body",
            on("fetch", wire={"piece": 300, "pause": 3600}),
            by(LOST, "httpx.ReadTimeout", "TimeoutError", "TimeoutError", "TimeoutError"),
            calls=("fetch",),
            timeout=0.6,
            progress="immediate",
        ),
    ),
    "Connections that break": (
        Fault(
            "reset before the answer, job not accepted",
            on("submit", accepted=False, wire={"silent": True, "end": "reset"}),
            RESET,
            charged=False,
        ),
        Fault("reset before the answer, job accepted", on("submit", wire={"silent": True, "end": "reset"}), RESET),
        Fault(
            "reset before the answer to a fetch",
            on("fetch", wire={"silent": True, "end": "reset"}),
            RESET,
            calls=("fetch",),
        ),
        Fault(
            "reset before the answer to a fetch by GET",
            on("fetch", wire={"silent": True, "end": "reset"}),
            {**RESET, "aiohttp": seen("aiohttp.ClientOSError", requests=2)},
            calls=("get",),
        ),
        Fault(
            "reset in the middle of the body",
            on("submit", wire={"body_bytes": 20, "end": "reset"}),
            by(
                CUT,
                "httpx.ReadError",
                "aiohttp.ClientPayloadError",
                "ConnectionResetError",
                # By version, and by whether the end of the connection is noticed before the length is counted.
                seen(
                    "TypeError: terminated (UND_ERR_RES_CONTENT_LENGTH_MISMATCH)",
                    "TypeError: terminated (UND_ERR_SOCKET)",
                    "TypeError: terminated (ECONNRESET)",
                ),
            ),
        ),
        Fault("empty answer: closed without a byte", on("submit", wire={"silent": True, "end": "close"}), ENDED),
        Fault(
            "empty answer to a fetch by GET",
            on("fetch", wire={"silent": True, "end": "close"}),
            {**ENDED, "aiohttp": seen("aiohttp.ServerDisconnectedError", requests=2)},
            calls=("get",),
        ),
        Fault("half-closed without a byte", on("submit", wire={"silent": True, "end": "half close"}), ENDED),
        Fault(
            "half-closed in the middle of the body", on("submit", wire={"body_bytes": 20, "end": "half close"}), SHORT
        ),
    ),
    "Connections that are kept": (
        Fault(
            "`Connection: close`",
            on("submit", headers={"Connection": "close"}),
            all_get("value; value"),
            calls=SUBMIT_TWICE,
        ),
        Fault(
            "closed after the answer without a word",
            on("submit", wire={"end": "close"}),
            all_get("value; value"),
            calls=SUBMIT_TWICE,
        ),
        Fault("closed while idle", on("submit", wire={"idle": 0}), all_get("value; value"), calls=SUBMIT_TWICE),
        Fault(
            "closed under the second submission",
            on("submit", 2, wire={"silent": True, "end": "close"}),
            second(ENDED),
            calls=SUBMIT_TWICE,
        ),
        Fault(
            "closed under the second fetch",
            on("fetch", 2, wire={"silent": True, "end": "close"}),
            second(ENDED),
            calls=FETCH_TWICE,
        ),
        Fault(
            "closed under the second fetch by GET",
            on("fetch", 2, wire={"silent": True, "end": "close"}),
            second(ENDED) | REPEATED,
            calls=GET_TWICE,
        ),
        Fault(
            "reset under the second submission",
            on("submit", 2, wire={"silent": True, "end": "reset"}),
            second(RESET),
            calls=SUBMIT_TWICE,
        ),
        Fault(
            "reset under the second fetch by GET",
            on("fetch", 2, wire={"silent": True, "end": "reset"}),
            second(RESET) | REPEATED,
            calls=GET_TWICE,
        ),
    ),
    "Length and framing": (
        Fault(
            "`Content-Length` too large",
            on("submit", wire={"length_error": 10, "end": "close"}),
            {**SHORT, "requests": seen(CUT, "value")},
        ),
        Fault(
            "`Content-Length` too small, then another call",
            on("submit", 1, wire={"length_error": -10}),
            by(
                "requests.exceptions.JSONDecodeError; value",
                "json.JSONDecodeError; httpx.RemoteProtocolError",
                "aiohttp.ClientResponseError; value",
                "json.JSONDecodeError; value",
                "SyntaxError; value",
            ),
            calls=SUBMIT_TWICE,
        ),
        Fault("body cut", on("submit", wire={"body_bytes": 20, "end": "close"}), SHORT),
        Fault("body cut to nothing", on("submit", wire={"body_bytes": 0, "end": "close"}), SHORT),
        Fault(
            "chunks cut",
            on("submit", wire={"chunks": [9], "body_bytes": 20, "end": "close"}),
            # Node 18 and 20 take what came before the end of the connection for the whole body.
            {
                **SHORT,
                "requests": seen(CUT),
                "fetch": seen("SyntaxError", "TypeError: terminated (HPE_INVALID_EOF_STATE)"),
            },
        ),
        Fault("chunks of odd sizes", on("submit", wire={"chunks": [1, 7, 3]}), all_get("value")),
        Fault("one byte at a time", on("submit", wire={"piece": 1}), all_get("value")),
    ),
    "Bodies": (
        Fault("no body", on("submit", body=""), {**NO_JSON, "aiohttp": seen("null")}),
        Fault(
            "a page of HTML with status 200",
            on("submit", **HTML),
            {**NO_JSON, "aiohttp": seen("aiohttp.ContentTypeError")},
        ),
        Fault(
            "JSON that is called text/html",
            on("submit", headers={"Content-Type": "text/html"}),
            {**all_get("value"), "aiohttp": seen("aiohttp.ContentTypeError")},
        ),
        Fault("JSON that ends too early", on("submit", body='{"status": "SUCC'), NO_JSON),
        Fault(
            "NaN in JSON",
            on("submit", body='{"status": NaN}'),
            {**all_get('{"status": NaN}, no message, no data'), "fetch": seen("SyntaxError")},
        ),
        Fault(
            "a BOM before the JSON",
            on("submit", coding="bom"),
            by("requests.exceptions.JSONDecodeError", "value", "json.JSONDecodeError", "value", "value"),
        ),
        Fault(
            "latin-1, not declared",
            on("submit", set=GERMAN, coding="latin-1"),
            by(
                '{"message": "Schl�ssel"}',
                "UnicodeDecodeError",
                "UnicodeDecodeError",
                "UnicodeDecodeError",
                '{"message": "Schl�ssel"}',
            ),
        ),
        Fault(
            "latin-1, declared",
            on("submit", set=GERMAN, coding="latin-1", headers=LATIN_1),
            by(
                '{"message": "Schlüssel"}',
                "UnicodeDecodeError",
                '{"message": "Schlüssel"}',
                "UnicodeDecodeError",
                '{"message": "Schl�ssel"}',
            ),
        ),
        Fault(
            "utf-16, not declared",
            on("submit", set=GERMAN, coding="utf-16"),
            by(
                "requests.exceptions.JSONDecodeError",
                '{"message": "Schlüssel"}',
                "UnicodeDecodeError",
                '{"message": "Schlüssel"}',
                "SyntaxError",
            ),
        ),
        Fault(
            "utf-16, declared",
            on("submit", set=GERMAN, coding="utf-16", headers=UTF_16),
            {**all_get('{"message": "Schlüssel"}'), "fetch": seen("SyntaxError")},
        ),
        Fault(
            "gzip, asked for or not",
            on("submit", coding="gzip"),
            {**all_get("value"), "urllib": seen("UnicodeDecodeError")},
        ),
        Fault(
            "called gzip, but is not",
            on("submit", headers={"Content-Encoding": "gzip"}),
            by(
                "requests.exceptions.ContentDecodingError",
                "httpx.DecodingError",
                "aiohttp.ClientPayloadError",
                "value",
                "TypeError: terminated (Z_DATA_ERROR)",
            ),
        ),
    ),
    "Values": (
        Fault(
            "stale status: SUCCESS, then ON_QUEUE",
            on("fetch", 2, set={"/status": "ON_QUEUE", "/data": None}),
            all_get('value; {"status": "ON_QUEUE", "data": null}'),
            calls=FETCH_TWICE,
            progress="immediate",
        ),
        Fault(
            "unknown status",
            on("fetch", set={"/status": "THROTTLED"}),
            all_get('{"status": "THROTTLED"}'),
            calls=("fetch",),
        ),
        Fault("`data: null`", on("submit", set={"/data": None}), all_get('{"data": null}')),
        Fault("`job_id` for `jobId`", on("submit", rename={"jobId": "job_id"}), all_get('{"data": {"job_id": "*"}}')),
        Fault("`message` missing", on("submit", remove=["/message"]), all_get("no message")),
    ),
    "Redirects to another origin": (
        Fault(
            "307 to a submission",
            on("submit", redirect=f"{OTHER}/flux/generate"),
            by(
                seen("value", key=True),
                "307, json.JSONDecodeError",
                seen("value", key=True),
                "urllib.error.HTTPError 307",
                seen("value", key=True),
            ),
            charged=False,
        ),
        Fault(
            "302 to a submission, which most go on with as a GET",
            on("submit", status=302, redirect=f"{OTHER}/flux/generate"),
            {name: seen(*got.outcomes, key=True) for name, got in refused(405, "Method not allowed").items()}
            | {"httpx": seen("302, json.JSONDecodeError")},
            charged=False,
        ),
        Fault(
            "307 to a fetch by GET",
            on("fetch", redirect=f"{OTHER}/flux/fetch?jobId=JOB"),
            by(
                seen("value", key=True),
                "307, json.JSONDecodeError",
                seen("value", key=True),
                seen("value", key=True),
                seen("value", key=True),
            ),
            calls=("get",),
        ),
    ),
}
FAULTS = tuple(fault for group in GROUPS.values() for fault in group)
