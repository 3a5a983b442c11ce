"""A tap of the server is told all that happens on a connection."""

from __future__ import annotations

import asyncio

from mock_server.http.server import HttpServer
from mock_server.http.wire import WIRE, Wire


class Notes:
    """A tap that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []
        self.over = asyncio.Event()

    def opened(self, connection: int) -> None:
        self.told.append(("opened", connection))

    def read(self, connection: int, data: bytes) -> None:
        self.told.append(("read", connection, data))

    def asked(self, connection: int, environ) -> None:
        environ["a.test"] = len(self.told)
        self.told.append(("asked", connection, environ["PATH_INFO"]))

    def answering(self, connection: int, answer, wire) -> None:
        self.told.append(("answering", connection, answer.body, wire))

    def answered(self, connection: int) -> None:
        self.told.append(("answered", connection))

    def closed(self, connection: int) -> None:
        self.told.append(("closed", connection))
        self.over.set()


def test_a_tap_is_told_all_that_happens_on_a_connection() -> None:
    def app(environ, start_response):
        environ[WIRE] = Wire(pause=0.001) if environ["PATH_INFO"] == "/2" else None
        start_response("200 OK", [])
        return [b"%d" % environ["a.test"]]

    async def talk() -> list[object]:
        notes = Notes()
        server = HttpServer(app, tap=notes, workers=1)
        await server.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(server.host, server.port)
        for path in (b"/1", b"/2"):
            writer.write(b"GET " + path + b" HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(1)
        writer.close()
        await notes.over.wait()
        await server.stop(0)
        return notes.told

    assert asyncio.run(talk()) == [
        ("opened", 1),
        ("read", 1, b"GET /1 HTTP/1.1\r\n\r\n"),
        ("asked", 1, "/1"),
        ("answering", 1, b"2", None),
        ("answered", 1),
        ("read", 1, b"GET /2 HTTP/1.1\r\n\r\n"),
        ("asked", 1, "/2"),
        ("answering", 1, b"6", Wire(pause=0.001)),
        ("answered", 1),
        ("closed", 1),
    ]
