"""Draws the image of a job: an abstract picture, or the upload of an edit, with the prompt on a panel.

Whoever looks at a result sees at once which request it belongs to. The same picture gives the same bytes on
one machine; on another the fonts may differ. This module imports Pillow: import it where something is drawn.
"""

from __future__ import annotations

import colorsys
import hashlib
import io
import math
import re
import unicodedata
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageOps

from mock_server.images import fonts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_Colour = tuple[int, int, int]

_INK = (250, 250, 252)
_FAINT = (190, 195, 210)
_PANEL = (17, 19, 30)
_PANEL_OPACITY = 0.84  # white text on it keeps a contrast above 7:1 on any background
_LINE = 1.28  # line height in units of the font size
_SLACK = 1.025  # how much wider than measured FreeType may draw, since it rounds each character to whole pixels
_MOST_CHARACTERS = 2000  # more than any panel holds at the smallest size
_ROOM = b"?" * 64  # where the metadata of a plain image will stand
_CANVAS = 400  # longest side that the background is painted at; stretching it is what makes it soft


_LINE_END = re.compile("[\u2028\u2029\x85]")


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that a result image depends on.

    Args:
        width: in pixels, as `height`.
        upload: the first upload of an edit, as `uploads.normalise` gives it.
    """

    prompt: str
    mode: str
    seed: int
    width: int
    height: int
    upload: bytes | None = None


def draw(picture: Picture) -> bytes:
    """Draw a picture: a WebP file of exactly its size."""
    dice = _dice(picture)
    hue = 0.5 + 0.6 * next(dice)  # from cyan over blue and red to orange: the dark half of the rest looks muddy
    if picture.upload is None:
        image = _abstract(picture, hue, dice)
    else:
        image = _derived(picture, picture.upload, hue)
    _add_panel(image, picture, hue)
    file = io.BytesIO()
    image.save(file, "WEBP", quality=75, method=0)
    return file.getvalue()


def plain(width: int, height: int, shade: int) -> bytes:
    """Return a WebP file of one of 16 colours, with room for a `remarked`."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), _rgb(shade / 16, 0.6, 0.7)).save(file, "WEBP", quality=50, method=0, xmp=_ROOM)
    return file.getvalue()


def remarked(image: bytes, remark: str) -> bytes:
    """Return a `plain` image whose metadata (XMP) are `remark`, of at most 64 bytes: cheaper than to draw another."""
    return image.replace(_ROOM, remark.encode().ljust(len(_ROOM)))


def _dice(picture: Picture) -> Iterator[float]:
    """Endless numbers from 0 to 1 that depend on what was asked for, but not on the size."""
    asked = repr((picture.prompt, picture.seed, picture.mode)).encode("utf-8")
    for round_ in range(1 << 30):
        for byte in hashlib.blake2b(asked, salt=round_.to_bytes(16, "big")).digest():
            yield byte / 255


def _rgb(hue: float, saturation: float, value: float) -> _Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _abstract(picture: Picture, hue: float, dice: Iterator[float]) -> Image.Image:
    """Paint a sky in related colours, lights in it, and waves below: all small, then stretched."""
    scale = min(1.0, _CANVAS / max(picture.width, picture.height))
    width, height = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    spread = 0.05 + 0.13 * next(dice)
    sky = Image.linear_gradient("L").rotate(round(next(dice) * 3) * 90).resize((width, height))
    image = ImageOps.colorize(
        sky, _rgb(hue, 0.75, 0.42), _rgb(hue + 2 * spread, 0.42, 0.99), mid=_rgb(hue + spread, 0.62, 0.8)
    )
    for _ in range(5):
        _add_light(image, _rgb(hue + next(dice) * 3 * spread, 0.3, 1.0), dice)
    waves = 4
    for number in range(waves):
        colour = _rgb(hue + spread * number / 2, 0.55 + 0.1 * number, 0.8 - 0.14 * number)
        _add_wave(image, colour, 0.42 + 0.5 * number / waves, dice)
    return image.resize((picture.width, picture.height), Image.Resampling.BICUBIC)


def _add_light(image: Image.Image, colour: _Colour, dice: Iterator[float]) -> None:
    side = max(1, round(max(image.size) * (0.15 + 0.55 * next(dice) ** 2)))
    opacity = 0.35 + 0.5 * next(dice)
    edge = 181  # what Pillow's radial gradient comes to at the middle of a side; its corners are 255
    fade = [round(255 * opacity * max(0.0, 1 - i / edge) ** 1.5) for i in range(256)]
    glow = Image.radial_gradient("L").point(fade)
    corner = (round(image.width * next(dice) - side / 2), round(image.height * 0.8 * next(dice) - side / 2))
    image.paste(colour, (*corner, corner[0] + side, corner[1] + side), glow.resize((side, side)))


def _add_wave(image: Image.Image, colour: _Colour, level: float, dice: Iterator[float]) -> None:
    width, height = 2 * image.width, 2 * image.height
    lift, phase, turns = 0.03 + 0.09 * next(dice), next(dice), 0.6 + 1.6 * next(dice)
    crest = [
        (
            width * x / 48,
            height * (level + lift * math.sin(math.tau * (turns * x / 48 + phase)) * math.cos(x / 17 + phase)),
        )
        for x in range(49)
    ]
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).polygon([*crest, (width, height), (0, height)], fill=190)
    image.paste(colour, mask=mask.resize(image.size, Image.Resampling.BOX))  # smooths the stairs of the crest


def _derived(picture: Picture, upload: bytes, hue: float) -> Image.Image:
    """Crop the upload to cover the size, tint it a little and frame it."""
    size = picture.width, picture.height
    with Image.open(io.BytesIO(upload), formats=["WEBP"]) as original:
        image = ImageOps.fit(original.convert("RGB"), size, Image.Resampling.BICUBIC)
    image = Image.blend(image, Image.new("RGB", size, _rgb(hue, 0.7, 0.9)), 0.12)
    frame = min(size) // 64
    if frame:
        pen = ImageDraw.Draw(image)
        pen.rectangle((0, 0, size[0] - 1, size[1] - 1), outline=_rgb(hue, 0.6, 0.95), width=frame)
    return image


def _add_panel(image: Image.Image, picture: Picture, hue: float) -> None:
    """Put the prompt and a caption onto a panel at the bottom, as large as fits."""
    width, height = image.size
    short = min(width, height)
    if short < 48:  # nobody could read it
        return
    margin, padding = round(short * 0.05), round(short * 0.035)
    room = width - 2 * (margin + padding)
    share = 0.62 if picture.upload is None else 0.36
    scale = min(math.sqrt(width * height), 2 * short)
    small = max(8, round(scale * 0.018))
    foot = round(small * 1.9)
    sizes = range(max(9, round(scale * 0.026)), max(10, round(scale * 0.07)) + 1)
    text = _typeset(_LINE_END.sub("\n", picture.prompt), room, round(height * share) - 2 * padding - foot, sizes)
    caption = _typeset(
        f"{picture.mode}  ·  {picture.width}x{picture.height}  ·  fluxmock",
        room,
        2 * small,
        range(small, small + 1),
    )
    inner = math.ceil(min(room, max(text.width, caption.width)))
    body = round(len(text.lines) * text.size * _LINE)
    box = (margin, height - margin - body - foot - 2 * padding, margin + inner + 2 * padding, height - margin)
    ground = image.crop(box)
    panel = Image.blend(ground, Image.new("RGB", ground.size, _PANEL), _PANEL_OPACITY)
    stripe = max(2, padding // 6)
    panel.paste(_rgb(hue, 0.6, 0.95), (0, 0, stripe, panel.height))
    text.paint(panel, padding, padding, _INK)
    caption.paint(panel, padding, panel.height - padding - round(small * _LINE), _FAINT)
    image.paste(panel, box[:2], _rounded(panel.size, padding // 2))


def _rounded(size: tuple[int, int], radius: int) -> Image.Image:
    """Make a mask with round, smooth corners."""
    mask = Image.new("L", size, 255)
    radius = min(radius, *(side // 2 for side in size))
    if radius:
        disc = Image.new("L", (8 * radius, 8 * radius))
        ImageDraw.Draw(disc).ellipse((0, 0, 8 * radius - 1, 8 * radius - 1), fill=255)
        disc = disc.reduce(4)
        for x, left in ((0, 0), (size[0] - radius, radius)):
            for y, top in ((0, 0), (size[1] - radius, radius)):
                mask.paste(disc.crop((left, top, left + radius, top + radius)), (x, y))
    return mask


@dataclass(frozen=True, slots=True)
class _Text:
    """Lines of runs, at a font size; `width` is that of the widest, in pixels."""

    lines: Sequence[Sequence[fonts.Run]]
    size: int

    @property
    def width(self) -> float:
        return self.size * _SLACK * max((sum(run.advance for run in line) for line in self.lines), default=0.0)

    def paint(self, image: Image.Image, left: int, top: int, fill: _Colour) -> None:
        for number, line in enumerate(self.lines):
            x, baseline = float(left), top + round(self.size * (_LINE * number + 0.98))
            for run in line:
                x = run.paint(image, x, baseline, self.size, fill)


@dataclass(frozen=True, slots=True)
class _Piece:
    """What a line break never divides. `width` is in em; a line may end before it where `breakable`."""

    run: fonts.Run
    width: float
    breakable: bool

    @property
    def blank(self) -> bool:
        return self.run.text == " "


def _typeset(text: str, width: float, height: float, sizes: range) -> _Text:
    """Wrap `text` in the largest of `sizes` that lets it fit, or in the smallest, cut with an ellipsis."""
    text = text.strip()
    if len(text) > _MOST_CHARACTERS:
        text = text[:_MOST_CHARACTERS] + "..."
    text = text.replace("\r\n", "\n").replace("\t", " ")
    paragraphs = [_pieces(line) for line in text.split("\n")] if text else []

    def wrapped(size: int) -> list[list[_Piece]]:
        return [line for pieces in paragraphs for line in _wrap(pieces, width / size / _SLACK)]

    def too_large(size: int) -> bool:
        return len(wrapped(size)) * size * _LINE > height

    size = sizes[max(0, bisect_left(sizes, True, key=too_large) - 1)]
    lines = wrapped(size)
    most = max(1, int(height / (size * _LINE)))
    if len(lines) > most:
        lines = [*lines[: most - 1], _cut(lines[most - 1], width / size / _SLACK)]
    return _Text([fonts.merge(piece.run for piece in line) for line in lines], size)


def _pieces(line: str) -> list[_Piece]:
    runs = fonts.installed().clusters(line)
    befores = [fonts.Run(" ", fonts.EMBEDDED), *runs]
    return [_Piece(run, run.advance, _breakable(before, run)) for before, run in zip(befores, runs, strict=False)]


def _wrap(pieces: Sequence[_Piece], width: float) -> Iterator[list[_Piece]]:
    """Break into lines of at most `width` em: between words where possible, else anywhere."""
    start, room, chance = 0, width, 0
    for index, piece in enumerate(pieces):
        if piece.breakable:
            chance = index
        room -= piece.width
        if room < 0 and index > start and not piece.blank:
            end = chance if chance > start else index
            yield _trimmed(pieces[start:end])
            start = end
            room = width - sum(piece.width for piece in pieces[start : index + 1])
    yield _trimmed(pieces[start:])


def _trimmed(line: Sequence[_Piece]) -> list[_Piece]:
    end = len(line)
    while end and line[end - 1].blank:
        end -= 1
    return list(line[:end])


def _cut(line: list[_Piece], width: float) -> list[_Piece]:
    ellipsis = _pieces("...")
    room = width - sum(piece.width for piece in ellipsis)
    while line and sum(piece.width for piece in line) > room:
        line = line[:-1]
    return [*_trimmed(line), *ellipsis]


def _breakable(before: fonts.Run, after: fonts.Run) -> bool:
    """Whether a line may end between two runs: after a blank, and around CJK, emoji and escapes."""
    if after.text == " ":
        return False
    if before.text == " ":
        return True
    return (_stands_alone(before) or _stands_alone(after)) and not (_opens(before) or _closes(after))


def _stands_alone(run: fonts.Run) -> bool:
    return run.text[0] == "\\" or unicodedata.east_asian_width(run.text[0]) in "WF"


def _opens(run: fonts.Run) -> bool:
    return unicodedata.category(run.text[0]) in {"Ps", "Pi"}


def _closes(run: fonts.Run) -> bool:
    return run.text[0] != "\\" and unicodedata.category(run.text[0]) in {"Pe", "Pf", "Po"}
