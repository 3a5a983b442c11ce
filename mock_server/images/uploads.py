"""Checks the image of an edit and keeps a small copy of it.

Uploads are not trusted. The size that they claim is read from the header first, and Pillow only gets to
see what the first frame needs: texts, colour profiles, EXIF, comments and further frames are left out, so
that they cannot cost memory or time (not from a WEBP: its decoder does not look at them). EXIF is read here,
for the one thing that matters: which way is up.
"""

from __future__ import annotations

import io
import struct
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PIXELS = 64_000_000
KEPT_SIDE = 640

_LARGE_PIXELS = 8_000_000
_ONE_LARGE = threading.Lock()  # a 64 megapixel WEBP needs 1 GB while it is decoded, so one at a time
_MAX_SEGMENTS = 10_000  # of a JPEG: usual are 20
_MAX_SCANS = 100  # of a progressive JPEG: usual are 10, and each costs a pass over all pixels
_PNG_PARTS = {b"PLTE", b"tRNS", b"IDAT"}
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnusableImage(ValueError):
    """An upload that no edit can be made from. Its text says what was expected, what came, and what to do."""


@dataclass(frozen=True, slots=True)
class _Slim:
    """What is needed of an upload: a file without extras, the size that it claims, its EXIF orientation."""

    data: bytes
    width: int
    height: int
    orientation: int = 1


def normalise(data: bytes) -> bytes:
    """Make a WebP of at most 640 pixels a side from an upload: upright, its transparency on white.

    Raises:
        UnusableImage: for anything that is not a whole PNG, JPEG, WEBP, GIF or BMP of at most 64 megapixels.
    """
    if not data:
        raise UnusableImage("expected an image but got 0 bytes: send the content of the file, not only its name")
    name, read = _format(data)
    try:
        slim = read(data)
        _check_size(slim.width, slim.height)
        with _ONE_LARGE if slim.width * slim.height > _LARGE_PIXELS else nullcontext():
            return _shrunk(slim, name)
    except UnusableImage:
        raise
    except Exception as error:  # Pillow lets out errors of every kind for broken files, and warnings made errors
        raise UnusableImage(
            f"expected a whole {name} but this one is broken or cut off ({_reason(error)}): "
            "open it in an image viewer, save it again and send that"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, (IndexError, struct.error)):
        return "it ends too early"
    if isinstance(error, UnidentifiedImageError):
        return "its header makes no sense"
    return str(error) or type(error).__name__


def _format(data: bytes) -> tuple[str, Callable[[bytes], _Slim]]:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG", _png
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG", _jpeg
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP", _webp
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF", _gif
    if data.startswith(b"BM"):
        return "BMP", _bmp
    raise UnusableImage(
        f"expected a PNG, JPEG, WEBP, GIF or BMP but got {len(data)} bytes that begin with {data[:8]!r}: "
        "convert the file, and check that it is sent as it is, not as base64 or text"
    )


def _check_size(width: int, height: int) -> None:
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise UnusableImage(
            f"expected at most {MAX_PIXELS // 1_000_000} megapixels but the header says {width}x{height}: "
            "send a smaller image"
        )


def _shrunk(slim: _Slim, name: str) -> bytes:
    with Image.open(io.BytesIO(slim.data), formats=[name]) as image:
        _check_size(*image.size)
        small = _resizable(image)
        small.thumbnail((KEPT_SIDE, KEPT_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
        small = _flat(small)
    if slim.orientation in _UPRIGHT:
        small = small.transpose(_UPRIGHT[slim.orientation])
    file = io.BytesIO()
    small.save(file, "WEBP", quality=80, method=2)
    return file.getvalue()


def _resizable(image: Image.Image) -> Image.Image:
    """Convert what Pillow cannot resize smoothly: palettes, single bits, one transparent colour, 16 bits."""
    if image.mode.startswith("I"):
        return image.convert("I")
    if image.mode == "PA" or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("RGB") if image.mode in {"1", "P"} else image


def _flat(image: Image.Image) -> Image.Image:
    """Convert to RGB, transparent parts becoming white."""
    if image.mode == "I":  # 16 bits of grey; converting it to 8 clips
        image = image.point(lambda value: value * (1 / 257)).convert("L")
    if image.mode in {"LA", "RGBA"}:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image.convert("RGB")


def _png(data: bytes) -> _Slim:
    if data[12:16] != b"IHDR":
        raise ValueError("it does not begin with its header")
    width, height = struct.unpack_from(">II", data, 16)
    kept, at, orientation = [data[:33]], 33, 1
    while True:
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if kind in _PNG_PARTS:
            kept.append(data[at:end])
        elif kind == b"eXIf":
            orientation = _orientation(data[at + 8 : end - 4])
        elif kind == b"IEND":
            break
        at = end
    return _Slim(b"".join([*kept, data[at:end]]), width, height, orientation)


def _jpeg(data: bytes) -> _Slim:
    kept, at, orientation = [data[:2]], 2, 1
    sizes = [(0, 0)]
    for _ in range(_MAX_SEGMENTS):
        marker = data[at + 1]
        if data[at] != 0xFF:
            raise ValueError(f"no marker where one must be, at byte {at}")
        if marker == 0xFF:  # filling
            at += 1
            continue
        if marker == 0xDA:
            break
        (length,) = struct.unpack_from(">H", data, at + 2)
        segment = data[at : at + 2 + length]
        if marker == 0xE1 and segment[4:10] == b"Exif\0\0":
            orientation = _orientation(segment[10:])
        elif 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack_from(">HH", segment, 5)
            sizes.append((width, height))
        # Of the application's own segments only these say something about the pixels: JFIF and Adobe's.
        if marker in {0xE0, 0xEE} or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept.append(segment)
        at += 2 + max(2, length)
    else:
        raise ValueError(f"more than {_MAX_SEGMENTS} segments")
    scans = data.count(b"\xff\xda", at)
    if scans > _MAX_SCANS:
        raise ValueError(f"{scans} scans instead of at most {_MAX_SCANS}")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return _Slim(b"".join([*kept, data[at:]]), width, height, orientation)


def _webp(data: bytes) -> _Slim:
    kind = data[12:16]
    if kind == b"VP8X":
        width = 1 + int.from_bytes(data[24:27], "little")
        height = 1 + int.from_bytes(data[27:30], "little")
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    at, orientation = 12, 1
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"EXIF":
            orientation = _orientation(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    return _Slim(data, width, height, orientation)


def _gif(data: bytes) -> _Slim:
    """Keep the header, the last graphic control before the first frame, and that frame."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = start = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    control = b""
    while data[at] == 0x21:
        begin, label, at = at, data[at + 1], at + 2
        at = _after_blocks(data, at)
        if label == 0xF9:
            control = data[begin:at]
    left, top, across, down, flags = struct.unpack_from("<HHHHB", data, at + 1)
    pixels = at + 11 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    if data[at] != 0x2C:
        raise ValueError("it has no frame")
    end = _after_blocks(data, pixels)
    return _Slim(data[:start] + control + data[at:end] + b";", max(width, left + across), max(height, top + down))


def _after_blocks(data: bytes, at: int) -> int:
    """Skip GIF's length-prefixed blocks up to and with the empty one."""
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _bmp(data: bytes) -> _Slim:
    (header,) = struct.unpack_from("<I", data, 14)
    if header == 12:
        width, height = struct.unpack_from("<HH", data, 18)
        return _Slim(data, width, height)
    width, height, _, _, compression = struct.unpack_from("<iiHHI", data, 18)
    if compression not in {0, 3}:  # the others are rare, and Pillow decodes them pixel by pixel in Python
        raise ValueError("it is compressed, which is not supported")
    return _Slim(data, abs(width), abs(height))


def _orientation(exif: bytes) -> int:
    """Read the Orientation of an EXIF block; 1, upright, when it has none that makes sense."""
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", exif, entry)
            if (tag, kind) == (0x0112, 3):
                return int(value)
    except struct.error:
        pass
    return 1
