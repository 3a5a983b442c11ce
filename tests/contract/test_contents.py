"""What is packed in a recorded body is unpacked as far as a message may go, and no further."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest

from contract_tests.readers import contents
from contract_tests.readers.contents import Packed, unpacked
from contract_tests.readers.sources import LIMIT

zstandard = pytest.importorskip("zstandard")
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstandard.ZstdCompressor(level=1).compress
}  # fmt: skip


def frames(size: int) -> bytes:
    """Bytes that stand for a number of zeros, in frames that do not say of how many."""
    packer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    chunk = bytes(1 << 20)
    return b"".join([*(packer.compress(chunk) for _ in range(size >> 20)), packer.flush()])


@pytest.mark.parametrize("coding", PACKERS)
def test_a_body_is_unpacked(coding: str) -> None:
    body = b'{"status": "SUCCESS"}' * 10_000
    assert unpacked(PACKERS[coding](body), {"content-encoding": coding}) == body


@pytest.mark.parametrize("coding", PACKERS)
def test_a_body_that_is_damaged_or_ends_too_early_is_said_to_be(coding: str) -> None:
    packed = PACKERS[coding](b"x" * 1000)
    for broken in (packed[:-1], packed[:5] + bytes(10)):
        with pytest.raises(Packed, match="compressed body .*(damaged|ends too early)"):
            unpacked(broken, {"content-encoding": coding})


@pytest.mark.parametrize("coding", PACKERS)
def test_a_body_of_another_length_than_a_message_may_have_is_left_out(
    coding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "LIMIT", 1 << 20)
    with pytest.raises(Packed, match="longer than 1 MiB"):
        unpacked(PACKERS[coding](bytes((1 << 20) + 1)), {"content-encoding": coding})


def test_a_bomb_of_zstd_takes_no_more_memory_than_a_message_may() -> None:
    bomb = frames(2 << 30)
    tracemalloc.start()
    try:
        with pytest.raises(Packed, match="longer than 64 MiB"):
            unpacked(bomb, {"content-encoding": "zstd"})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * LIMIT
