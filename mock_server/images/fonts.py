"""Finds, for every character, a font that really has a drawing of it; what no font has is spelled in ASCII.

The font inside Pillow comes first, so that plain text looks the same on every machine; then the fonts of the
system, looked for once. What a font has is read from its own character map, and a character only counts when
drawing it leaves ink, because some maps lead to nothing. So no text ever shows a box.

FreeType's faces must not be used by two threads at once: all use of them is under one lock.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import unicodedata
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_LOCK = threading.RLock()
_EMOJI_STYLE = "\ufe0f"
_MOST_FACES = 200  # a designer's machine has thousands; looking for a missing character must stay quick
_MOST_MARKS = 8  # on one base: more than any language stacks
_BROKEN = (RuntimeError, OSError, struct.error, IndexError, ValueError)  # what a damaged font file comes to

# Fonts that cover much, best first, by how their files' names begin without "-", "_" and blanks.
_KNOWN = (
    *("notosansregular", "dejavusans", "segoeui", "arialunicode", "arial", "liberationsansregular"),
    *("notosanscjk", "notosanssc", "notosansjp", "sourcehansans", "wqymicrohei", "wqyzenhei", "pingfang"),
    *("hiraginosans", "msyh", "yugoth", "meiryo", "malgun", "applesdgothicneo", "droidsansfallback"),
    *("notocoloremoji", "applecoloremoji", "seguiemj", "seguisym", "symbola", "freesans", "unifont"),
)
_STYLED = ("bold", "italic", "oblique", "condensed", "light", "thin", "black", "mono", "serif")
_NEVER = ("lastresort", "adobeblank", "adobenotdef")  # fonts made of placeholders

# Default_Ignorable_Code_Point of the Unicode Character Database, where assigned.
_IGNORABLE = (
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F)),
    *((0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0001, 0xE01EF)),
)


@dataclass(frozen=True, slots=True)
class Face:
    """A font file (the first face of a collection).

    Args:
        path: where it is; None is the font inside Pillow.
        colour: it has coloured drawings, that is, emoji.
        strike: the one size in pixels that it can be drawn at, when it holds bitmaps instead of outlines.
    """

    path: str | None = None
    colour: bool = False
    strike: int | None = None


EMBEDDED = Face()


@dataclass(frozen=True, slots=True)
class Run:
    """Text to be drawn with one face."""

    text: str
    face: Face

    @property
    def advance(self) -> float:
        """How wide it is, in units of the font size."""
        return _advance(self.face, self.text)

    def paint(self, image: Image.Image, x: float, baseline: int, size: int, fill: tuple[int, int, int]) -> float:
        """Draw onto an RGB `image` from `x` rightwards in `size` pixels; returns the x where it ends."""
        with _LOCK:
            if self.face.strike is None:
                font = _font(self.face, size)
                pen = ImageDraw.Draw(image)
                pen.text((x, baseline), self.text, fill, font, anchor="ls", embedded_color=self.face.colour)
                return x + font.getlength(self.text)
            font = _font(self.face, self.face.strike)
            scale = size / self.face.strike
            left, top, right, bottom = font.getbbox(self.text, anchor="ls")
            layer = Image.new("RGBA", (max(1, int(right - left)), max(1, int(bottom - top))))
            ImageDraw.Draw(layer).text((-left, -top), self.text, font=font, anchor="ls", embedded_color=True)
            end = x + font.getlength(self.text) * scale
        layer = layer.resize((max(1, round(layer.width * scale)), max(1, round(layer.height * scale))))
        image.paste(layer, (round(x + left * scale), round(baseline + top * scale)), layer)
        return end


class Fonts:
    """Pillow's own font, then `faces` by preference. `Fonts(())` is the same on every machine."""

    def __init__(self, faces: Sequence[Face]) -> None:
        self.faces = (EMBEDDED, *faces)
        self._coloured_first = tuple(sorted(self.faces, key=lambda face: not face.colour))
        self._find = lru_cache(maxsize=20_000)(self._search)

    def runs(self, text: str) -> list[Run]:
        """Split `text` into the fewest runs; what no font has is escaped as Python does."""
        return merge(self.clusters(text))

    def clusters(self, text: str) -> list[Run]:
        """Split `text` into what no line break may divide: a character with its marks, or an escape."""
        pieces: list[Run] = []
        # Words look torn when accented letters come from another font: one with all the letters is best.
        body = self._search("".join(sorted({char for char in text if " " < char < "\u2000"})), False) or EMBEDDED
        for cluster, emoji in _clusters(text):
            before = pieces[-1].face if pieces else EMBEDDED
            if unicodedata.category(cluster[0]) == "Zs":
                cluster = " "  # noqa: PLW2901 - every blank is drawn alike
            # Blanks and punctuation go with the word before, so that a right-to-left line stays one run.
            neutral = unicodedata.category(cluster[0])[0] in "ZP"
            if neutral and not before.colour and _has_all(before, cluster):
                pieces.append(Run(cluster, before))
            elif not emoji and _has_all(body, cluster):
                pieces.append(Run(cluster, body))
            elif (face := self._find(cluster, emoji)) is not None:
                pieces.append(Run(cluster, face))
            else:
                for char in cluster:
                    face = self._find(char, emoji)
                    marked = unicodedata.category(char)[0] == "M"
                    pieces.append(Run(_escape(char), EMBEDDED) if face is None or marked else Run(char, face))
        return pieces

    def _search(self, cluster: str, emoji: bool) -> Face | None:
        order = self._coloured_first if emoji else self.faces
        return next((face for face in order if _has_all(face, cluster)), None)


@cache
def installed() -> Fonts:
    """Give the fonts of this machine, looked for at the first call."""
    paths = sorted((path for folder in _folders() for path in _files(folder)), key=_preference)
    faces = (_open(path) for path in paths[:_MOST_FACES])
    return Fonts([face for face in faces if face is not None])


def merge(pieces: Iterable[Run]) -> list[Run]:
    """Join neighbours of one face."""
    return [
        Run("".join(piece.text for piece in group), face)
        for face, group in groupby(pieces, key=lambda piece: piece.face)
    ]


def _clusters(text: str) -> Iterator[tuple[str, bool]]:
    """Each visible character with the marks that follow it, and whether it is meant as an emoji."""
    cluster, emoji = "", False
    for char in unicodedata.normalize("NFC", text):
        if _ignorable(char):
            emoji = emoji or char == _EMOJI_STYLE
        elif cluster and len(cluster) <= _MOST_MARKS and _attaches(char):
            cluster += char
        else:
            if cluster:
                yield cluster, emoji
            cluster, emoji = char, _is_emoji(char)
    if cluster:
        yield cluster, emoji


def _ignorable(char: str) -> bool:
    return char > "\xac" and any(first <= ord(char) <= last for first, last in _IGNORABLE)


def _attaches(char: str) -> bool:
    """Whether it belongs to the character before: marks, and the skin tones of emoji."""
    return char > "\u02ff" and (unicodedata.category(char)[0] == "M" or "\U0001f3fb" <= char <= "\U0001f3ff")


def _is_emoji(char: str) -> bool:
    """Whether it is coloured by default. In the first plane exactly the wide symbols are."""
    if char < "\u2000":
        return False
    wide_symbol = unicodedata.category(char) == "So" and unicodedata.east_asian_width(char) == "W"
    return wide_symbol or "\U0001f000" <= char <= "\U0001faff"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _has_all(face: Face, text: str) -> bool:
    return all(_has(face, char) for char in text)


@lru_cache(maxsize=50_000)
def _has(face: Face, char: str) -> bool:
    # Unassigned characters are asked for as any other: fonts may know a newer Unicode than Python does.
    if unicodedata.category(char) in {"Cc", "Cs", "Co", "Zl", "Zp"}:
        return False
    try:
        if not _glyph(_character_map(face), ord(char)):
            return False
        with _LOCK:
            mask = _font(face, face.strike or 32).getmask(char, "RGBA" if face.colour else "L")
            return char == " " or mask.getbbox() is not None
    except _BROKEN:
        return False


@lru_cache(maxsize=20_000)
def _advance(face: Face, text: str) -> float:
    size = face.strike or 64
    with _LOCK:
        return _font(face, size).getlength(text) / size


@lru_cache(maxsize=128)
def _font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    with _LOCK:
        font = ImageFont.load_default(size) if face.path is None else ImageFont.truetype(face.path, size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("expected a Pillow with FreeType, as its wheels have, but this one has none: reinstall it")
    return font


def _folders() -> list[Path]:
    """List where the three systems keep fonts: their own ones, then the user's."""
    home = Path.home()
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", str(home / "AppData/Local"))
        return [Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts"), Path(local, "Microsoft/Windows/Fonts")]
    own = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), own / "fonts", home / ".fonts"]


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.lower().endswith((".ttf", ".otf", ".ttc", ".otc")):
                yield str(Path(parent, name))


def _preference(path: str) -> tuple[int, int, str, str]:
    """Sort known names first, then plain styles before bold and italic ones, then by name."""
    name = Path(path).stem.lower()
    for joint in "-_ ":
        name = name.replace(joint, "")
    rank = next((rank for rank, known in enumerate(_KNOWN) if name.startswith(known)), len(_KNOWN))
    styles = sum(style in name for style in _STYLED)
    return (rank if styles == 0 else len(_KNOWN), styles, name, path)


def _open(path: str) -> Face | None:
    """Read what kind of font a file holds; None when it is none that we can use."""
    if any(name in path.lower().replace(" ", "") for name in _NEVER):
        return None
    try:
        tables = _tables(path)
        if "cmap" not in tables:
            return None
        if "CBLC" in tables:
            return Face(path, colour=True, strike=_bitmap_size(_read(path, *tables["CBLC"])))
        if "sbix" in tables:
            return Face(path, colour=True, strike=_sbix_size(_read(path, *tables["sbix"])))
        return Face(path, colour="COLR" in tables)
    except _BROKEN:
        return None


def _read(path: str | None, start: int, length: int) -> bytes:
    if path is None:
        return _font(EMBEDDED, 32).font_bytes[start : start + length]
    with Path(path).open("rb") as file:
        file.seek(start)
        return file.read(length)


def _tables(path: str | None) -> dict[str, tuple[int, int]]:
    """Read the directory of a font file: name of each table → (offset, length)."""
    start = 0
    head = _read(path, 0, 16)
    if head[:4] == b"ttcf":
        start = int.from_bytes(head[12:16], "big")
        head = _read(path, start, 12)
    (count,) = struct.unpack_from(">H", head, 4)
    directory = _read(path, start + 12, 16 * count)
    rows = struct.iter_unpack(">4s4xII", directory)
    return {name.decode("latin-1"): (offset, length) for name, offset, length in rows}


def _bitmap_size(cblc: bytes) -> int:
    (count,) = struct.unpack_from(">I", cblc, 4)
    return max(cblc[8 + 48 * i + 45] for i in range(count))


def _sbix_size(sbix: bytes) -> int:
    (count,) = struct.unpack_from(">I", sbix, 4)
    offsets = struct.unpack_from(f">{count}I", sbix, 8)
    return max(int.from_bytes(sbix[offset : offset + 2], "big") for offset in offsets)


@cache
def _character_map(face: Face) -> bytes:
    """Read the part of a `cmap` that maps most of Unicode: format 12 (all planes), else 4 (the first)."""
    try:
        cmap = _read(face.path, *_tables(face.path)["cmap"])
        found: dict[int, int] = {}
        (count,) = struct.unpack_from(">H", cmap, 2)
        for platform, encoding, offset in struct.iter_unpack(">HHI", cmap[4 : 4 + 8 * count]):
            if platform == 0 or (platform == 3 and encoding in {1, 10}):
                found[struct.unpack_from(">H", cmap, offset)[0]] = offset
        best = found.get(12, found.get(4))
        return b"" if best is None else cmap[best:]
    except (*_BROKEN, KeyError):
        return b""


def _glyph(table: bytes, code: int) -> int:
    """Look up the glyph number of a character in what `_character_map` gave; 0 is none."""
    if not table:
        return 0
    if table[:2] == b"\x00\x0c":
        (count,) = struct.unpack_from(">I", table, 12)
        group = bisect_right(range(count), code, key=lambda i: struct.unpack_from(">I", table, 16 + 12 * i)[0]) - 1
        if group < 0:
            return 0
        first, last, glyph = struct.unpack_from(">III", table, 16 + 12 * group)
        return int(glyph + code - first) if code <= last else 0
    (doubled,) = struct.unpack_from(">H", table, 6)
    ends, starts, deltas, offsets = 14, 16 + doubled, 16 + 2 * doubled, 16 + 3 * doubled

    def word(base: int, index: int) -> int:
        return int(struct.unpack_from(">H", table, base + 2 * index)[0])

    segment = bisect_left(range(doubled // 2), code, key=lambda i: word(ends, i))
    if segment == doubled // 2 or code < word(starts, segment):
        return 0
    if word(offsets, segment) == 0:
        return (code + word(deltas, segment)) & 0xFFFF
    glyph = word(offsets + word(offsets, segment), segment + code - word(starts, segment))
    return (glyph + word(deltas, segment)) & 0xFFFF if glyph else 0
