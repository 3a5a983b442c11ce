"""Results are real files of the requested size that show what was asked for."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from mock_server.images.drawing import Picture, draw
from mock_server.images.uploads import normalise

CAT = Picture("a cat", "flux1-dev", 7, 512, 512)


def decoded(picture: Picture) -> Image.Image:
    data = draw(picture)
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "WEBP"
        return image.convert("RGB")


def upload(colour: str, size: tuple[int, int] = (300, 200)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return normalise(file.getvalue())


def changed(one: Image.Image, other: Image.Image, threshold: int = 60) -> tuple[int, int, int, int] | None:
    """Find the box of what differs clearly, beyond what compression does."""
    return ImageChops.difference(one, other).convert("L").point(lambda value: 255 * (value > threshold)).getbbox()


@pytest.mark.parametrize(
    "size",
    [
        (1024, 1024),
        (1024, 1792),
        (1792, 1024),
        (1536, 640),
        (640, 1536),
        (2048, 2048),
        (1, 1),
        (1, 300),
        (48, 48),
    ],
)
def test_a_picture_has_exactly_the_requested_size(size):
    assert decoded(replace(CAT, width=size[0], height=size[1])).size == size
    assert decoded(replace(CAT, width=size[0], height=size[1], upload=upload("red"))).size == size


def test_the_same_picture_is_the_same_bytes():
    assert draw(CAT) == draw(replace(CAT))
    edit = replace(CAT, upload=upload("red"))
    assert draw(edit) == draw(replace(edit))


@pytest.mark.parametrize(
    "other", [{"prompt": "a dog"}, {"mode": "flux-2-pro"}, {"seed": 8}], ids=lambda other: next(iter(other))
)
def test_prompt_mode_and_seed_each_change_the_background(other):
    top = (0, 0, 512, 200)
    assert changed(decoded(CAT).crop(top), decoded(replace(CAT, **other)).crop(top), 8) is not None


def test_the_prompt_stands_bright_on_a_dark_panel():
    """On the brightest background there is: contrast as WCAG counts it is 7:1 or more for these greys."""
    image = decoded(replace(CAT, prompt="MMMMMMMMMMMMMMMMMMMM " * 6, upload=upload("white"))).convert("L")
    darkest, brightest = image.crop((60, 380, 400, 420)).getextrema()
    assert darkest < 75
    assert brightest > 235


@pytest.mark.parametrize(
    "prompt",
    ["a dog with a hat", "你好", "😀😀😀", "\ue000", "words " * 1700],
    ids=lambda prompt: ascii(prompt[:9]),
)
def test_the_prompt_changes_an_edit_only_inside_its_panel(prompt):
    """An edit's background is its upload: what differs clearly from one without a prompt is the panel."""
    edit = Picture("", "flux1-dev", 7, 512, 512, upload("white"))
    box = changed(decoded(edit), decoded(replace(edit, prompt=prompt)))
    assert box is not None
    assert box[1] > 256


def test_the_panel_shows_the_very_prompt():
    """Two prompts of one width differ inside the panel, right of the stripe whose colour differs too."""
    edit = replace(CAT, upload=upload("white"))
    one, other = (decoded(replace(edit, prompt=prompt)) for prompt in ("noon moon", "moon noon"))
    assert changed(one.crop((40, 256, 512, 512)), other.crop((40, 256, 512, 512)), 100) is not None


def test_a_picture_of_a_long_prompt_stays_small():
    assert len(draw(replace(CAT, prompt="several words " * 800, width=1024, height=1024))) < 150_000


def test_an_edit_shows_its_upload():
    red = ImageStat.Stat(decoded(replace(CAT, upload=upload("red"))).crop((40, 40, 470, 200))).mean
    blue = ImageStat.Stat(decoded(replace(CAT, upload=upload("blue"))).crop((40, 40, 470, 200))).mean
    assert red[0] > 180 > 100 > red[2]
    assert blue[2] > 180 > 100 > blue[0]


def test_an_upload_of_another_shape_is_cropped_around_its_middle():
    file = io.BytesIO()
    stripes = Image.new("RGB", (600, 200), "red")
    stripes.paste("lime", (250, 0, 350, 200))
    stripes.save(file, "PNG")
    image = decoded(replace(CAT, upload=normalise(file.getvalue())))
    assert image.getpixel((256, 100))[1] > 180
    assert image.getpixel((30, 100))[0] > 180
    assert image.getpixel((480, 100))[0] > 180


@given(
    prompt=st.text(st.characters(exclude_categories=())),
    size=st.tuples(st.integers(1, 160), st.integers(1, 160)),
)
@settings(max_examples=60, deadline=None)
def test_any_prompt_can_be_drawn(prompt, size):
    assert decoded(Picture(prompt, prompt[:20], 1, *size)).size == size


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        " \n ",
        "\n" * 500,
        "x" * 5000,
        "你" * 5000,
        "😀" * 3000,
        "a\u0301" * 3000,
        "\u202e" * 3000,
        "“(" * 2000,
    ],
    ids=lambda prompt: ascii(prompt[:2]),
)
def test_extreme_prompts_can_be_drawn(prompt):
    assert decoded(replace(CAT, prompt=prompt)).size == (512, 512)
