"""The vector of an image: against a slow computation, for any size and kind of image."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from assets.images.classifier import features
from tests.unit.assets.images.classifier.drawn import picture


def _slow_hog(rgb: np.ndarray, n: int) -> list[float]:
    """Pixel by pixel, as the paper says it, with n x n cells."""
    cells = np.zeros((n, n, 9))
    side = 64 // n
    for y in range(64):
        for x in range(64):
            largest, gradient = -1.0, (0.0, 0.0)
            for c in range(3):
                dx = rgb[y, x + 1, c] - rgb[y, x - 1, c] if 0 < x < 63 else 0.0
                dy = rgb[y + 1, x, c] - rgb[y - 1, x, c] if 0 < y < 63 else 0.0
                if math.hypot(dx, dy) > largest:
                    largest, gradient = math.hypot(dx, dy), (dx, dy)
            degrees = math.degrees(math.atan2(gradient[1], gradient[0])) % 180
            for k in range(-1, 10):
                # Bin k has its centre at 20 k + 10 degrees, a cell in its middle.
                angle = max(0.0, 1 - abs(degrees - (20 * k + 10)) / 20)
                for v in range(max(y // side - 1, 0), min(y // side + 2, n)):
                    for u in range(max(x // side - 1, 0), min(x // side + 2, n)):
                        down = max(0.0, 1 - abs(y + 0.5 - side * (v + 0.5)) / side)
                        across = max(0.0, 1 - abs(x + 0.5 - side * (u + 0.5)) / side)
                        cells[v, u, k % 9] += largest * angle * down * across
    out: list[float] = []
    for y in range(n - 1):
        for x in range(n - 1):
            block = [
                v for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)) for v in cells[y + dy, x + dx]
            ]
            norm = math.sqrt(sum(v * v for v in block) + 1e-4)
            block = [min(v / norm, 0.2) for v in block]
            norm = math.sqrt(sum(v * v for v in block) + 1e-4)
            out += [v / norm for v in block]
    return out


def _slow_histogram(lab: np.ndarray) -> np.ndarray:
    counts = np.zeros((5, 7, 7))
    for y in range(32):
        for x in range(32):
            lightness, a, b = lab[y, x]
            white = lightness > 93 and abs(a) < 6 and abs(b) < 6
            centre = math.exp(-(((y - 15.5) / 10) ** 2 + ((x - 15.5) / 10) ** 2) / 2)
            weight = (0.001 if white else 1.0) * centre
            tents = []
            for value, low, high, bins in (
                (lightness, 0, 100, 5), (a, -60, 60, 7), (b, -60, 60, 7)
            ):  # fmt: skip
                at = min(max((value - low) / (high - low) * bins - 0.5, 0), bins - 1)
                tents.append([max(0.0, 1 - abs(at - k)) for k in range(bins)])
            counts += weight * np.einsum("i,j,k->ijk", *map(np.array, tents))
    return (counts / counts.sum()).ravel()


def test_shapes_are_what_the_paper_says() -> None:
    rgb = np.random.default_rng(5).random((64, 64, 3))
    rgb[10:40, 20:50] = (0.25, 0.5, 0.5)
    wanted = [*_slow_hog(rgb, 8), *(2 * value for value in _slow_hog(rgb, 4))]
    np.testing.assert_allclose(features.hog(rgb), wanted, atol=1e-9)


def test_colours_are_counted_pixel_by_pixel() -> None:
    rgb = np.random.default_rng(6).integers(0, 256, (32, 32, 3)).astype(float)
    rgb[:, :10] = 255
    lab = features.to_lab(rgb)
    found = features.colour_histogram(lab)
    np.testing.assert_allclose(found, _slow_histogram(lab), atol=1e-12)
    assert found.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    # Published values of sRGB's corners under D65.
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((128, 128, 128), (53.59, 0, 0)),
    ],
)
def test_lab_of_known_colours(rgb: tuple[int, int, int], lab: tuple[float, float, float]) -> None:
    found = features.to_lab(np.array([rgb], dtype=float))[0]
    np.testing.assert_allclose(found, lab, atol=0.05)


def test_the_parts_have_the_widths_that_are_told() -> None:
    assert features.features(picture(1)).shape == (features.WIDTH,)
    assert features.WIDTH == features.HOG_WIDTH + features.THUMB_WIDTH + features.HISTOGRAM_WIDTH


def _bytes(image: Image.Image, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_image_has_a_finite_vector(width: int, height: int, mode: str, seed: int) -> None:
    noise = np.random.default_rng(seed)
    if mode == "I;16":
        image = Image.fromarray(noise.integers(0, 2**16, (height, width)).astype(np.uint16))
    else:
        pixels = noise.integers(0, 256, (height, width, 3)).astype(np.uint8)
        image = Image.fromarray(pixels).convert(mode)
    found = features.features(_bytes(image, "JPEG" if mode == "CMYK" else "PNG"))
    assert found.dtype == np.float32
    assert found.shape == (features.WIDTH,)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("value", [0, 255])
def test_a_plain_image_has_one_too(value: int) -> None:
    found = features.features(_bytes(Image.new("L", (1, 1), value)))
    assert np.isfinite(found).all()


def test_containers_and_modes_hardly_change_it() -> None:
    plain = features.features(picture(3, "PNG"))
    for other in (picture(3, "PNG", "RGBA"), picture(3, "WEBP"), picture(3, "JPEG")):
        cosine = plain @ features.features(other)
        cosine /= np.linalg.norm(plain) * np.linalg.norm(features.features(other))
        assert cosine > 0.9
    assert (features.features(picture(3, "PNG", "RGBA")) == plain).all()


def test_the_transparent_is_white_and_sixteen_bits_are_scaled() -> None:
    clear = _bytes(Image.new("RGBA", (20, 20), (200, 0, 0, 0)))
    white = _bytes(Image.new("RGB", (20, 20), "white"))
    assert (features.features(clear) == features.features(white)).all()
    deep = _bytes(Image.fromarray(np.full((20, 20), 128 * 257, np.uint16)))
    grey = _bytes(Image.new("L", (20, 20), 128))
    np.testing.assert_allclose(features.features(deep), features.features(grey), atol=1e-6)


def test_it_is_turned_upright() -> None:
    with Image.open(io.BytesIO(picture(2, "PNG"))) as image:
        upright = image.convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    out = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(out, "PNG", exif=exif)
    assert (features.features(out.getvalue()) == features.features(_bytes(upright))).all()


def test_large_jpegs_are_about_the_same() -> None:
    with Image.open(io.BytesIO(picture(2, "PNG"))) as image:
        large = image.convert("RGB").resize((1800, 2400), Image.Resampling.BICUBIC)
    found, plain = features.features(_bytes(large, "JPEG")), features.features(picture(2, "PNG"))
    assert found @ plain > 0.85 * np.linalg.norm(found) * np.linalg.norm(plain)


@pytest.mark.parametrize("data", [b"", b"no image", picture(1)[:200], b"GIF89a" + bytes(50)])
def test_what_is_no_image_is_told(data: bytes) -> None:
    with pytest.raises(features.UnreadableImageError):
        features.features(data)


def test_too_many_pixels_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "MOST_PIXELS", 60 * 80 - 1)
    with pytest.raises(features.UnreadableImageError, match="60x80 pixels are too many"):
        features.features(picture(1))


def test_the_colour_that_counts_is_the_products() -> None:
    red = Image.new("RGB", (60, 80), "white")
    red.paste((200, 30, 40), (15, 20, 45, 60))
    small = features.square(red)[::2, ::2].astype(float)
    counts = features.colour_histogram(features.to_lab(small)).reshape(features._BINS)
    lightness, a, b = np.unravel_index(counts.argmax(), counts.shape)
    assert (a, b) >= (5, 4)
    assert lightness == 2
