"""What a transform makes: boxes, orientation, colours, and how near a small decoding comes."""

from __future__ import annotations

import dataclasses
import io
import math
import random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageDraw, ImageOps

from assets.images.processing import geometry, pixels
from assets.images.processing import transform as module
from assets.images.processing.geometry import Draws
from assets.images.processing.operation import Limits, Operation
from assets.images.processing.transform import Made, hash_of, transform
from samples.photos import photo
from tests.hostile_images import LIMITS, corpus, oriented, picture, saved, sixteen_bit

FIRST_DRAW = 0.684580945424486
LARGE = Limits(100_000_000, 64 << 20, 10.0)
PLAIN = Operation(format="PNG", crop=1.0, width=60, height=80)


def image(made: Made) -> Image.Image:
    opened = Image.open(io.BytesIO(made.data))
    opened.load()
    return opened


def of(data: bytes, product_id: int = 1, **changes: Any) -> Image.Image:
    return image(transform(data, product_id, dataclasses.replace(PLAIN, **changes), LARGE))


def decibels(one: Image.Image, other: Image.Image) -> float:
    """PSNR of two pictures of eight bits."""
    first, second = (np.asarray(each.convert("RGB"), dtype=float) for each in (one, other))
    error = np.mean((first - second) ** 2)
    return math.inf if error == 0 else 10 * math.log10(255**2 / float(error))


def test_a_copy_is_the_same_bytes() -> None:
    data = saved(picture(), "JPEG")
    made = transform(data, 1, Operation(kind="copy"), LIMITS)
    assert made == Made(data, 120, 160, hash_of(data), hash_of(data))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_turns_the_box_as_it_would_the_picture(kind: str, orientation: int) -> None:
    """The same part, whether the whole is turned first or only what was cut out of it."""
    stored = oriented(orientation, kind)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(stored)))
    operation = dataclasses.replace(PLAIN, crop=0.7, fit="cover", width=40, height=30)
    draws = Draws.of(0, 1, hash_of(stored))
    straight = geometry.cut(upright.size, 1, operation, draws)
    expected = upright.resize(straight.size, Image.Resampling.LANCZOS, straight.box, 2.0)
    got = image(transform(stored, 1, operation, LARGE))
    assert got.size == (40, 30)
    assert decibels(got, expected) > 45


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_holds_where_a_jpeg_is_decoded_small(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = saved(picture(1200, 1600), "JPEG", quality=95, exif=exif)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(stored)))
    assert decibels(of(stored), upright.resize((60, 80), Image.Resampling.LANCZOS)) > 40


def edges(number: int) -> Image.Image:
    """Black and white shapes, the hardest there are for a decoder that leaves out detail."""
    rng = random.Random(number)
    made = Image.new("RGB", (1801, 2399), "white")
    draw = ImageDraw.Draw(made)
    for _ in range(60):
        left, top = rng.randrange(1700), rng.randrange(2300)
        box = (left, top, left + rng.randrange(4, 400), top + rng.randrange(4, 400))
        rng.choice((draw.ellipse, draw.rectangle))(box, fill=rng.choice(("black", "red", "white")))
    return made


@pytest.mark.parametrize(("make", "least"), [(photo, 48.0), (edges, 35.0)], ids=["photo", "edges"])
@pytest.mark.parametrize("number", range(3))
def test_decoding_small_costs_less_than_the_encoding_after_it(
    make, least, number, monkeypatch
) -> None:
    """The stated bound: 8 dB below the error of a JPEG of quality 90, at any crop and size."""
    stored = saved(make(number), "JPEG", quality=92)
    rng = random.Random(number)
    for _ in range(3):
        size = rng.choice((64, 200, 256, 400))
        operation = Operation(
            format="PNG",
            crop=rng.uniform(0.4, 1.0),
            width=size,
            height=size,
            seed=rng.randrange(99),
        )
        small = image(transform(stored, 1, operation, LARGE))
        encoded = image(transform(stored, 1, dataclasses.replace(operation, format="JPEG"), LARGE))
        with monkeypatch.context() as patched:
            patched.setattr(module, "_FACTORS", (1,))
            patched.setattr(module, "_REDUCING_GAP", None)
            full = image(transform(stored, 1, operation, LARGE))
        assert decibels(small, full) >= least
        assert decibels(small, full) >= decibels(encoded, small) + 8


def test_a_jpeg_is_decoded_small_where_there_is_room(monkeypatch) -> None:
    seen = []
    real = pixels.eight_bit

    def eight_bit(one):
        seen.append(one.size)
        return real(one)

    monkeypatch.setattr(pixels, "eight_bit", eight_bit)
    stored = saved(picture(1800, 2400), "JPEG")
    for size, expected in (
        (100, (225, 300)),
        (256, (450, 600)),
        (500, (900, 1200)),
        (900, (1800, 2400)),
    ):
        transform(stored, 1, Operation(crop=1.0, width=size, height=size), LARGE)
        assert seen.pop() == expected


def test_sixteen_bits_are_scaled_and_not_cut() -> None:
    ramp = np.asarray(of(sixteen_bit(), width=64, height=64).convert("L"), dtype=int)
    expected = np.round(np.arange(64) * 255 / 63)
    assert np.abs(ramp - expected).max() <= 1


def test_what_is_clear_becomes_white_in_a_jpeg_and_stays_clear_in_the_others() -> None:
    clear = Image.new("RGBA", (40, 40), (200, 0, 0, 0))
    stored = saved(clear, "PNG")
    assert min(np.asarray(of(stored, format="JPEG")).flatten()) >= 250
    for kind in ("PNG", "WEBP"):
        made = of(stored, format=kind)
        assert made.mode == "RGBA"
        assert made.getchannel("A").getextrema() == (0, 0)


def test_a_palette_s_clear_colour_is_clear() -> None:
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    made = of(saved(palette, "PNG", transparency=0), format="JPEG")
    assert min(np.asarray(made).flatten()) >= 250


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_every_mode_becomes_rgb_of_the_same_colours(mode: str) -> None:
    stored = saved(picture(mode=mode), "JPEG", quality=95)
    expected = (
        Image.open(io.BytesIO(stored)).convert("RGB").resize((60, 80), Image.Resampling.LANCZOS)
    )
    made = of(stored)
    assert made.mode == "RGB"
    assert decibels(made, expected) > 40


def test_a_profile_is_followed_and_a_useless_one_is_said_to_be_ignored() -> None:
    # A colour space of another gamut: the same numbers are another colour there.
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = _swapped_primaries(srgb)
    plain = saved(picture(), "PNG")
    followed = transform(saved(picture(), "PNG", icc_profile=swapped), 1, PLAIN, LARGE)
    assert followed.note == ""
    red, green, _ = image(transform(plain, 1, PLAIN, LARGE)).split()
    got_red, got_green, _ = image(followed).split()
    assert decibels(Image.merge("RGB", (got_red,) * 3), Image.merge("RGB", (green,) * 3)) > 25
    assert decibels(Image.merge("RGB", (got_green,) * 3), Image.merge("RGB", (red,) * 3)) > 25
    for useless in (srgb[:150], b"nonsense" * 20, ImageCms.ImageCmsProfile(lab).tobytes()):
        made = transform(saved(picture(), "PNG", icc_profile=useless), 1, PLAIN, LARGE)
        assert made.note
        assert made.data == transform(plain, 1, PLAIN, LARGE).data
    same = transform(saved(picture(), "PNG", icc_profile=srgb), 1, PLAIN, LARGE)
    assert decibels(image(same), image(transform(plain, 1, PLAIN, LARGE))) > 45


def _swapped_primaries(srgb: bytes) -> bytes:
    """sRGB in which red and green have changed places."""
    return srgb.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")


def test_exif_is_dropped_or_kept_upright() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8769)[0xA002] = 120
    stored = saved(picture(), "JPEG", exif=exif)
    for kind in ("JPEG", "PNG", "WEBP"):
        assert not of(stored, format=kind).getexif()
        kept = of(stored, format=kind, exif="keep").getexif()
        assert (kept[0x0112], kept[0x010F]) == (1, "Maker")
        assert kept.get_ifd(0x8769)[0xA002] == 60


def test_nothing_else_of_the_file_is_carried_over() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored = saved(picture(), "JPEG", icc_profile=srgb, comment=b"a secret", dpi=(300, 300))
    for kind in ("JPEG", "PNG", "WEBP"):
        made = of(stored, format=kind)
        assert not {"icc_profile", "comment", "dpi"} & set(made.info)


@pytest.mark.parametrize("fit", ["stretch", "cover", "contain"])
def test_the_picture_made_has_the_size_asked_for(fit: str) -> None:
    for stored in (
        saved(picture(1, 1), "PNG"),
        saved(picture(3, 900), "PNG"),
        saved(picture(), "PNG"),
    ):
        assert of(stored, fit=fit, width=31, height=77, crop=0.3).size == (31, 77)


def test_contain_pads_with_white() -> None:
    made = of(
        saved(Image.new("RGB", (100, 50), "black"), "PNG"), fit="contain", width=40, height=40
    )
    assert made.getpixel((20, 5)) == (255, 255, 255)
    assert made.getpixel((20, 20)) == (0, 0, 0)
    assert made.getpixel((20, 35)) == (255, 255, 255)


def test_draws_are_spread_and_each_image_s_own() -> None:
    draws = [Draws.of(seed, product, "ab") for seed in range(20) for product in range(50)]
    for name in ("x", "y", "flip", "angle", "brightness", "contrast", "colour"):
        values = [getattr(draw, name) for draw in draws]
        assert len(set(values)) == 1000
        assert 0 <= min(values) < 0.01
        assert 0.99 < max(values) < 1
        assert abs(sum(values) / 1000 - 0.5) < 0.04
    assert Draws.of(1, 2, "ab") == Draws.of(1, 2, "ab") != Draws.of(1, 2, "ac")
    # Part of what a task makes: another value here is another picture for every old request.
    assert Draws.of(0, 1, "00").x == pytest.approx(FIRST_DRAW, abs=1e-15)


def test_every_box_lies_within_the_picture() -> None:
    rng = random.Random(5)
    for _ in range(3000):
        size = (rng.choice((1, 2, 60, 4001)), rng.choice((1, 2, 80, 3001)))
        operation = Operation(
            crop=rng.choice((0.001, 0.5, 0.8, 1.0)), width=rng.randrange(1, 500),
            height=rng.randrange(1, 500), fit=rng.choice(("stretch", "cover", "contain")),
        )  # fmt: skip
        draws = Draws(rng.random(), rng.choice((0.0, 1 - 2**-53)), 0, 0, 0, 0, 0)
        cut = geometry.cut(size, rng.randrange(1, 9), operation, draws)
        left, top, right, bottom = cut.box
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]
        assert min(cut.size) >= 1


@pytest.mark.parametrize("changes", [{"flip": "random"}, {"rotate": 30.0}, {"jitter": 0.5}])
def test_variations_differ_between_images_and_not_between_runs(changes) -> None:
    stored = saved(picture(), "JPEG")
    made = [of(stored, product, **changes).tobytes() for product in range(12)]
    assert made == [of(stored, product, **changes).tobytes() for product in range(12)]
    assert len(set(made)) == (2 if "flip" in changes else 12)


def test_flips_and_blur_do_what_they_say() -> None:
    stored = saved(picture(), "PNG")
    plain = of(stored)
    assert of(stored, flip="horizontal").tobytes() == ImageOps.mirror(plain).tobytes()
    assert of(stored, flip="vertical").tobytes() == ImageOps.flip(plain).tobytes()
    noise = saved(Image.effect_noise((60, 80), 100), "PNG")
    assert np.std(np.asarray(of(noise, blur=2.0))) < np.std(np.asarray(of(noise))) / 2


def test_the_same_bytes_again_and_by_many_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    files = [one.data for one in corpus() if one.status == "ok"] * 3
    operation = Operation(width=40, height=40, flip="random", rotate=5, jitter=0.1)

    def digest(data: bytes) -> str:
        return transform(data, 5, operation, LIMITS).digest

    with ThreadPoolExecutor(6) as threads:
        assert list(threads.map(digest, files)) == [digest(data) for data in files]
