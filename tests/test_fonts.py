"""Every character is drawn by a font that has it, or spelled out in ASCII."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from mock_server.images import fonts
from mock_server.images.fonts import EMBEDDED, Face, Fonts, Run

NONE = Fonts(())


def spelled(text: str, available: Fonts = NONE) -> str:
    return "".join(run.text for run in available.runs(text))


def installed_with(char: str, package: str) -> Fonts:
    """Give the machine's fonts if one has `char`, else skip; CI must have it."""
    available = fonts.installed()
    if available.runs(char)[0].face == EMBEDDED:
        if os.environ.get("CI"):
            pytest.fail(f"expected a font with {char!r} in CI, but there is none: install {package}")
        pytest.skip(f"no font has {char!r}: install {package}")
    return available


def painted(run: Run, size: int = 40) -> Image.Image:
    image = Image.new("RGB", (240, 80))
    run.paint(image, 10, 55, size, (255, 255, 255))
    return image


def test_plain_text_is_one_run_of_the_font_inside_pillow():
    assert NONE.runs("A cat, 35 mm \\ f/1.8!") == [Run("A cat, 35 mm \\ f/1.8!", EMBEDDED)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("你好", "\\u4f60\\u597d"),
        ("😀", "\\U0001f600"),
        ("a\x07b\x7f", "a\\x07b\\x7f"),
        ("\ud83d", "\\ud83d"),
        ("\ue000", "\\ue000"),
        ("\u0378\ufdd0\U0010fffe", "\\u0378\\ufdd0\\U0010fffe"),
        ("e\u0301", "\\xe9"),
        ("x\u0302", "x\\u0302"),
    ],
    ids=ascii,
)
def test_what_no_font_has_is_spelled_as_python_does(text, expected):
    assert spelled(text) == expected


@pytest.mark.parametrize("char", ["\u200d", "\ufe0f", "\ufeff", "\u202e", "\u2066", "\xad", "\U000e0061"], ids=ascii)
def test_invisible_characters_are_left_out(char):
    assert spelled(f"a{char}b") == "ab"
    assert NONE.runs(char) == []


def test_private_and_control_characters_are_spelled_even_where_a_font_has_them():
    chars = [*range(0x20), *range(0x7F, 0xA0), *range(0xE000, 0xF900)]
    assert spelled("".join(map(chr, chars)), fonts.installed()).isascii()


def test_every_kind_of_blank_is_drawn_as_a_space():
    assert spelled("a\u3000b\xa0c\u2003d") == "a b c d"


def test_an_escape_is_never_divided():
    assert [piece.text for piece in NONE.clusters("a你b")] == ["a", "\\u4f60", "b"]


def test_a_heap_of_marks_is_no_endless_cluster():
    assert max(len(piece.text) for piece in NONE.clusters("a" + "\u0302" * 500)) < 20


@given(st.text(st.characters(exclude_categories=())))
def test_without_fonts_any_text_becomes_printable_latin(text):
    latin_ligatures = {chr(code) for code in range(0xFB00, 0xFB07)}  # the embedded font has some
    assert all(char.isprintable() and (" " <= char <= "\u2fff" or char in latin_ligatures) for char in spelled(text))


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_ascii_stays_as_it_is(text):
    assert spelled(text, fonts.installed()) == text


def test_a_damaged_font_file_counts_as_having_nothing(tmp_path):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(
        b"\0\1\0\0\0\1" + bytes(6) + b"cmap" + bytes(4) + b"\0\0\0\x1c\0\0\1\0" + b"\0\0\0\1\0\3\0\1\0\0\0\x0c"
    )
    available = Fonts([Face(str(broken)), Face(str(tmp_path / "missing.ttf"))])
    assert spelled("a你", available) == "a\\u4f60"


def test_every_installed_character_leaves_ink_and_differs_from_the_box_of_its_font():
    for char in "Aß€…Жא你あ한😀":
        (run, *rest) = fonts.installed().runs(char)
        if run.text != char:
            continue
        assert not rest
        image = painted(run)
        assert image.getbbox() is not None
        box = painted(Run("\U0010fffd", run.face))
        assert ImageChops.difference(image, box).getbbox() is not None, char


def test_chinese_is_drawn_by_a_font_that_has_it():
    available = installed_with("你", "fonts-wqy-zenhei")
    (run,) = available.runs("你好，世界")
    assert run.text == "你好，世界"
    assert painted(Run("你", run.face)).getbbox() != painted(Run("一", run.face)).getbbox()


def test_emoji_are_drawn_in_colour_at_the_size_of_the_text():
    available = installed_with("😀", "fonts-noto-color-emoji")
    (run,) = available.runs("😀")
    assert run.face.colour
    image = painted(run, 40)
    red, _, blue = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert red > 2 * blue
    _, top, _, bottom = image.getbbox()
    assert 30 <= bottom - top <= 60


def test_a_skin_tone_stays_with_its_emoji():
    available = installed_with("👍", "fonts-noto-color-emoji")
    assert [piece.text for piece in available.clusters("👍🏽👍")] == ["👍🏽", "👍"]


def test_a_heart_is_an_emoji_only_when_asked_for():
    available = installed_with("😀", "fonts-noto-color-emoji")
    assert available.runs("❤\ufe0f")[0].face.colour
    assert not available.runs("3")[0].face.colour


def test_a_word_with_accents_is_drawn_by_one_font():
    available = installed_with("é", "fonts-dejavu-core")
    assert len(available.runs("Crème brûlée, naïve")) == 1
    assert [piece.text for piece in available.clusters("e\u0301x")] == ["é", "x"]


def test_right_to_left_words_stay_in_one_run():
    available = installed_with("ש", "fonts-dejavu-core")
    assert available.runs("שלום עולם \u0378")[0].text == "שלום עולם "


def test_the_advance_is_about_what_painting_moves_by():
    run = Run("Hello", EMBEDDED)
    end = run.paint(Image.new("RGB", (400, 100)), 0, 80, 50, (255, 255, 255))
    assert end == pytest.approx(50 * run.advance, rel=0.05)


def test_threads_get_the_same_drawing():
    run = Run("Hello, threads", EMBEDDED)
    expected = [painted(run, size).tobytes() for size in range(20, 60)]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            assert [image.tobytes() for image in pool.map(lambda size: painted(run, size), range(20, 60))] == expected
