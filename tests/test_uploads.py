"""Uploads become a small upright WebP, or are refused with a sentence that helps; nothing else comes out."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from mock_server.images.uploads import UnusableImage, normalise

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP"]


def encoded(image: Image.Image, format_: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return file.getvalue()


def kept(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(normalise(data))) as image:
        assert image.format == "WEBP"
        assert image.mode == "RGB"
        image.load()
        return image


def halves(width: int = 60, height: int = 40) -> Image.Image:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", (width, height), "red")
    image.paste("blue", (width // 2, 0, width, height))
    return image


def near(pixel: tuple[int, ...], expected: tuple[int, int, int], tolerance: int = 30) -> bool:
    return all(abs(have - want) <= tolerance for have, want in zip(pixel, expected, strict=True))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes) -> bytes:
    """Build a grey PNG whose header says this size, and whose pixels are those of a 2x2 one."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(6)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + pixels + chunk(b"IEND", b"")


SAMPLES = {format_: encoded(halves(), format_) for format_ in FORMATS}
SAMPLES["progressive JPEG"] = encoded(halves(), "JPEG", progressive=True)
SAMPLES["palette PNG"] = encoded(halves().quantize(8), transparency=0)
SAMPLES["EXIF JPEG"] = encoded(
    halves(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0" + bytes(4)
)


@pytest.mark.parametrize("format_", FORMATS)
def test_each_accepted_format_keeps_its_picture(format_):
    image = kept(SAMPLES[format_])
    assert image.size == (60, 40)
    assert near(image.getpixel((10, 20)), (255, 0, 0))
    assert near(image.getpixel((50, 20)), (0, 0, 255))


@pytest.mark.parametrize(
    ("size", "expected"), [((1280, 320), (640, 160)), ((500, 2000), (160, 640)), ((640, 640), (640, 640))]
)
def test_the_longest_side_is_at_most_640(size, expected):
    assert kept(encoded(Image.new("RGB", size, "green"))).size == expected


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_the_kept_copy_is_upright(format_, orientation):
    """As Pillow's own reading of the orientation has it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = halves()
    image.paste("lime", (0, 0, 30, 20))
    data = encoded(image, format_, exif=exif)
    with Image.open(io.BytesIO(data)) as original:
        expected = ImageOps.exif_transpose(original).convert("RGB")
    upright = kept(data)
    assert upright.size == expected.size
    for x, y in ((0.2, 0.2), (0.8, 0.2), (0.2, 0.8), (0.8, 0.8)):
        at = int(x * expected.width), int(y * expected.height)
        assert near(upright.getpixel(at), expected.getpixel(at), 60)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGBA", (30, 30), (255, 0, 0, 0)), (255, 255, 255)),
        (Image.new("RGBA", (30, 30), (255, 0, 0, 255)), (255, 0, 0)),
        (Image.new("LA", (30, 30), (0, 0)), (255, 255, 255)),
        (Image.new("1", (30, 30), 1), (255, 255, 255)),
        (Image.new("I;16", (30, 30), 32768), (128, 128, 128)),
        (Image.new("L", (30, 30), 90), (90, 90, 90)),
        (Image.new("P", (30, 30), 0), (0, 0, 0)),
    ],
    ids=["transparent", "opaque", "grey transparent", "bits", "16 bits", "grey", "palette"],
)
def test_every_mode_of_png_becomes_rgb(image, expected):
    assert near(kept(encoded(image)).getpixel((15, 15)), expected, 6)


def test_cmyk_and_transparent_palettes_become_rgb():
    assert near(kept(encoded(Image.new("CMYK", (30, 30), (0, 255, 255, 0)), "JPEG")).getpixel((15, 15)), (255, 0, 0))
    assert near(kept(encoded(Image.new("P", (30, 30), 0), transparency=0)).getpixel((15, 15)), (255, 255, 255))
    assert near(kept(encoded(Image.new("P", (30, 30), 0), "GIF", transparency=0)).getpixel((15, 15)), (255, 255, 255))


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG"])
def test_only_the_first_frame_counts(format_):
    data = encoded(
        Image.new("RGB", (30, 30), "red"),
        format_,
        save_all=True,
        append_images=[Image.new("RGB", (30, 30), "blue")] * 3,
    )
    assert near(kept(data).getpixel((15, 15)), (255, 0, 0))


def test_an_empty_upload_is_named():
    with pytest.raises(UnusableImage, match=r"^expected an image but got 0 bytes: send the content"):
        normalise(b"")


@pytest.mark.parametrize("data", [b"hello", b"%PDF-1.7", b"\0\0\1\0", b"II*\0", b"aGVsbG8="])
def test_what_is_no_image_is_refused_by_what_it_begins_with(data):
    with pytest.raises(
        UnusableImage, match=r"^expected a PNG, JPEG, WEBP, GIF or BMP but got \d bytes that begin with b'"
    ):
        normalise(data)


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("format_", FORMATS)
def test_a_truncated_image_is_refused(format_, part):
    data = encoded(Image.linear_gradient("L").convert("RGB"), format_)
    with pytest.raises(UnusableImage, match=rf"^expected a whole {format_} but this one is broken or cut off"):
        normalise(data[: int(len(data) * part)])


def test_more_than_64_megapixels_are_refused_by_the_header():
    pixels = "expected at most 64 megapixels but the header says "
    with pytest.raises(UnusableImage, match=rf"^{pixels}8000x8001: send a smaller image$"):
        normalise(png(8000, 8001))
    with pytest.raises(UnusableImage, match=rf"^{pixels}60000x60000"):
        normalise(SAMPLES["GIF"][:6] + struct.pack("<HH", 60000, 60000) + SAMPLES["GIF"][10:])
    with pytest.raises(UnusableImage, match=rf"^{pixels}9000x9000"):
        normalise(SAMPLES["BMP"][:18] + struct.pack("<ii", 9000, -9000) + SAMPLES["BMP"][26:])
    at = SAMPLES["JPEG"].index(b"\xff\xc0")
    with pytest.raises(UnusableImage, match=rf"^{pixels}65500x65500"):
        normalise(SAMPLES["JPEG"][: at + 5] + struct.pack(">HH", 65500, 65500) + SAMPLES["JPEG"][at + 9 :])
    extended = b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<II", 10, 0) + b"\xff\xff\0\xff\xff\0"
    with pytest.raises(UnusableImage, match=rf"^{pixels}65536x65536"):
        normalise(extended)


def test_a_gif_frame_outside_of_its_screen_counts_by_its_own_size():
    data = bytearray(SAMPLES["GIF"])
    at = data.rindex(b"\x2c\0\0\0\0")
    data[at + 5 : at + 9] = struct.pack("<HH", 60000, 60000)
    with pytest.raises(UnusableImage, match="the header says 60000x60000"):
        normalise(bytes(data))


def test_a_second_header_cannot_raise_the_size():
    larger = chunk(b"IHDR", struct.pack(">IIBBBBB", 12000, 12000, 8, 0, 0, 0, 0))
    assert kept(png(2, 2, larger)).size == (2, 2)


BOMB = zlib.compress(bytes(30_000_000), 9)


@pytest.mark.parametrize(
    "extra",
    [chunk(b"zTXt", b"k\0\0" + BOMB), chunk(b"iCCP", b"k\0\0" + BOMB), chunk(b"iTXt", b"k\0\1\0\0\0" + BOMB)],
)
def test_what_a_png_carries_besides_its_pixels_costs_no_memory(extra):
    tracemalloc.start()
    try:
        assert kept(png(2, 2, extra * 5)).size == (2, 2)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_jpeg_of_endless_scans_is_refused():
    data = SAMPLES["progressive JPEG"]
    last = data.rindex(b"\xff\xda")
    with pytest.raises(UnusableImage, match="scans instead of at most 100"):
        normalise(data[:-2] + data[last:-2] * 200 + b"\xff\xd9")


def test_a_run_length_compressed_bmp_is_refused():
    with pytest.raises(UnusableImage, match="it is compressed, which is not supported"):
        normalise(SAMPLES["BMP"][:30] + struct.pack("<I", 1) + SAMPLES["BMP"][34:])


MAGICS = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\0\0\0\0WEBP", b"GIF89a", b"BM"]


def outcome(data: bytes) -> None:
    """Pass if `data` is made a WebP of, or refused; anything else that is raised fails the test."""
    try:
        image = kept(data)
    except UnusableImage:
        return
    assert max(image.size) <= 640


@given(magic=st.sampled_from(MAGICS), data=st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_are_taken_or_refused(magic, data):
    outcome(magic + data)


@given(
    sample=st.sampled_from(sorted(SAMPLES)),
    edits=st.lists(
        st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=4)),
        min_size=1,
        max_size=4,
    ),
    length=st.floats(0.5, 1),
)
@settings(max_examples=200, deadline=None)
def test_damaged_images_are_taken_or_refused(sample, edits, length):
    data = bytearray(SAMPLES[sample])
    for place, patch in edits:
        at = int(place * len(data))
        data[at : at + len(patch)] = patch
    outcome(bytes(data[: int(length * len(data)) + 1]))
