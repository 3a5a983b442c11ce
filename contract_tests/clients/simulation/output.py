"""What a simulated client prints and logs, by whatever way it does."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import BinaryIO

_DESCRIPTORS = (1, 2)


class Output(io.StringIO):
    """What was printed: to sys.stdout and sys.stderr, and to the file descriptors behind them."""

    behind: BinaryIO | None = None

    def close(self) -> None:
        """Stay open: it is sys.stdout, which a client may close, and more is to come."""

    def getvalue(self) -> str:
        """Return all of it, until now."""
        if self.behind is None:
            return super().getvalue()
        _flush()
        size = os.fstat(self.behind.fileno()).st_size
        return super().getvalue() + os.pread(self.behind.fileno(), size, 0).decode("utf-8", "replace")


@contextmanager
def captured(output: Output) -> Iterator[None]:
    """
    Take what is printed and logged in the block, lest it gets into a report.

    Loggers that do not propagate, streams that were kept before, C code and commands that the client runs all write to
    the descriptors. Where there are none, as in a program without a console, only Python's streams are taken.
    """
    handler = logging.StreamHandler(output)
    root = logging.getLogger()
    with ExitStack() as stack:
        stack.enter_context(_descriptors(output))
        stack.enter_context(redirect_stdout(output))
        stack.enter_context(redirect_stderr(output))
        root.addHandler(handler)
        stack.callback(root.removeHandler, handler)
        yield


@contextmanager
def _descriptors(output: Output) -> Iterator[None]:
    _flush()
    kept: dict[int, int] = {}
    with tempfile.TemporaryFile(buffering=0) as file:
        try:
            for number in _DESCRIPTORS:
                with suppress(OSError):
                    kept[number] = os.dup(number)
                    os.dup2(file.fileno(), number)
            os.lseek(file.fileno(), 0, os.SEEK_END)
            output.behind = file
            yield
        finally:
            _flush()
            for number, copy in kept.items():
                os.dup2(copy, number)
                os.close(copy)
            text = output.getvalue()
            output.behind = None
            output.seek(0)
            output.write(text)


def _flush() -> None:
    for stream in (sys.__stdout__, sys.__stderr__):
        with suppress(OSError, ValueError):  # there is none, or it is closed
            if stream is not None:
                stream.flush()
