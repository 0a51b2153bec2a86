"""From an image to the vector that the model reads: shapes, a thumbnail, colours.

Belongs here: decoding for this purpose, and the formulas. Does not: the model (``model.py``), safe
decoding of strangers' files (``processing``): what comes here was written or probed before.
Imported lazily: needs numpy and pillow.

- Shapes: histograms of oriented gradients (Dalal and Triggs, "Histograms of Oriented Gradients for
  Human Detection", CVPR 2005): the gradient of the channel in which it is largest, 9 unsigned
  directions, votes split linearly between neighbouring directions and cells, blocks of 2x2 cells
  with L2-Hys; once with cells of 8x8 pixels, once with cells of 16x16.
- Colours: CIE L*a*b* (CIE 15:2004) of sRGB (IEC 61966-2-1, D65), as a thumbnail, and as a histogram
  in which the white background of product photos and the margins count little; its square root is
  taken, so that distances are Hellinger's.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np  # noqa: TID253
from PIL import Image, ImageOps  # noqa: TID253

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]

#: Goes up when the same image gives another vector: a model fits one version.
FEATURE_VERSION = "hog-lab-1"

#: Pixels of the square that every image is stretched to. Results are stretched as well.
SIDE = 64
_DIRECTIONS, _CLIP, _EPSILON = 9, 0.2, 1e-4
#: Cells along a side, and how much their blocks weigh: a coarse one stands for four fine ones.
_GRIDS = ((8, 1.0), (4, 2.0))
_COLOURS, _THUMB = 32, 8
#: Bins of L*, a* and b*, and what of a* and b* they span.
_BINS, _SPAN = (5, 7, 7), 60.0
#: What is lighter than this L*, with a* and b* nearer to 0 than that, is background.
_LIGHT, _GREY = 93.0, 6.0
#: Parts are weighed so that distances between images are made of all of them.
_THUMB_WEIGHT, _COLOUR_WEIGHT = 0.02, 3.0

HOG_WIDTH = sum((cells - 1) ** 2 * 4 * _DIRECTIONS for cells, _ in _GRIDS)
THUMB_WIDTH = _THUMB**2 * 3
HISTOGRAM_WIDTH = _BINS[0] * _BINS[1] * _BINS[2]
WIDTH = HOG_WIDTH + THUMB_WIDTH + HISTOGRAM_WIDTH

#: Above this no pixel is decoded.
MOST_PIXELS = 100_000_000
_FORMATS = ("JPEG", "PNG", "WEBP")

_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")
_WHITE = (255, 255, 255)

# sRGB primaries to XYZ, each relative to the white of D65.
_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
) / np.array([[0.95047], [1.0], [1.08883]])
_LINEAR_BELOW, _CUBIC_ABOVE = 0.04045, (6 / 29) ** 3


class UnreadableImageError(ValueError):
    """The bytes are no image that this can read."""


def features(data: bytes) -> NDArray[np.float32]:
    """The vector of an image file: WIDTH numbers, all finite. Raises UnreadableImageError."""
    return vector(square(decoded(data)))


def decoded(data: bytes) -> Image.Image:
    """The image, upright, as RGB upon white; a large JPEG already reduced.

    Raises UnreadableImageError.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UnreadableImageError(  # noqa: TRY301 - before a pixel is decoded
                    f"{image.width}x{image.height} pixels are too many"
                )
            # Twice the side, so that what is left to resize is an average, too.
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            image.load()
            return _rgb(ImageOps.exif_transpose(image))
    except UnreadableImageError:
        raise
    # Pillow's decoders raise nearly anything for bytes that are no image.
    except (
        OSError,
        ValueError,
        SyntaxError,
        TypeError,
        EOFError,
        Image.DecompressionBombError,
    ) as e:
        raise UnreadableImageError(f"{type(e).__name__}: {e}") from e


def square(
    image: Image.Image,
    box: tuple[float, float, float, float] | None = None,
    *,
    mirrored: bool = False,
) -> NDArray[np.uint8]:
    """The image, or a ``box`` of it in pixels, stretched to (SIDE, SIDE, 3), 0 to 255."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box, reducing_gap=2.0)
    pixels = np.asarray(small, dtype=np.uint8)
    return pixels[:, ::-1] if mirrored else pixels


def vector(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The vector of a square, (SIDE, SIDE, 3): shapes, thumbnail, colours, one after the other."""
    rgb = pixels.astype(np.float64)
    lab = to_lab(_reduced(rgb, _COLOURS))
    parts = (
        hog(rgb / 255),
        to_lab(_reduced(rgb, _THUMB)).ravel() * _THUMB_WEIGHT,
        np.sqrt(colour_histogram(lab)) * _COLOUR_WEIGHT,
    )
    return np.concatenate(parts).astype(np.float32)


def hog(rgb: Array) -> Array:
    """Histograms of oriented gradients of (SIDE, SIDE, 3) from 0 to 1: HOG_WIDTH numbers."""
    across, down = np.zeros_like(rgb), np.zeros_like(rgb)
    across[:, 1:-1] = rgb[:, 2:] - rgb[:, :-2]
    down[1:-1] = rgb[2:] - rgb[:-2]
    strongest = (across**2 + down**2).argmax(axis=-1)[..., None]
    x = np.take_along_axis(across, strongest, -1).ravel()
    y = np.take_along_axis(down, strongest, -1).ravel()
    size = np.hypot(x, y)
    # Bins are centred: direction 0 is half of the first and half of the last.
    at = (np.arctan2(y, x) % np.pi) * (_DIRECTIONS / np.pi) - 0.5
    low = np.floor(at)
    share = at - low
    first = low.astype(np.intp)
    votes = np.zeros((SIDE * SIDE, _DIRECTIONS))
    votes[_PIXELS, first % _DIRECTIONS] = size * (1 - share)
    votes[_PIXELS, (first + 1) % _DIRECTIONS] += size * share
    blocks: Array = np.concatenate(
        [_blocks(votes, cells).ravel() * weight for cells, weight in _GRIDS]
    )
    return blocks


def _blocks(votes: Array, cells: int) -> Array:
    """Votes of (SIDE * SIDE, directions) in cells, and these in blocks of four, normed."""
    split = _SPLITS[cells]
    rows = (split @ votes.reshape(SIDE, -1)).reshape(cells, SIDE, _DIRECTIONS)
    grid = split @ rows
    corners = (grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:])
    blocks = _normed(np.concatenate(corners, axis=-1))
    return _normed(np.minimum(blocks, _CLIP))


def to_lab(rgb: Array) -> Array:
    """CIE L*a*b* of sRGB from 0 to 255, the last axis being the channels."""
    part = rgb / 255
    linear = np.where(part <= _LINEAR_BELOW, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _TO_XYZ.T
    f = np.where(xyz > _CUBIC_ABOVE, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def colour_histogram(lab: Array) -> Array:
    """How much of which colour: HISTOGRAM_WIDTH shares that sum to 1, of (32, 32, 3) of L*a*b*.

    A pixel is split between the neighbouring bins of each axis.
    """
    pixels = lab.reshape(-1, 3)
    lightness, a, b = pixels[:, 0], pixels[:, 1], pixels[:, 2]
    white = (lightness > _LIGHT) & (np.abs(a) < _GREY) & (np.abs(b) < _GREY)
    weights = np.where(white, 1e-3, 1.0) * _CENTRE
    axes = (
        _between(lightness, 0.0, 100.0, _BINS[0]),
        _between(a, -_SPAN, _SPAN, _BINS[1]),
        _between(b, -_SPAN, _SPAN, _BINS[2]),
    )
    counts = np.zeros(HISTOGRAM_WIDTH)
    for corner in range(8):
        index, share = np.zeros(len(pixels), dtype=np.intp), weights
        for axis, (low, upper) in enumerate(axes):
            far = corner >> axis & 1
            index = index * _BINS[axis] + low + far
            share = share * (upper if far else 1 - upper)
        counts += np.bincount(index, share, HISTOGRAM_WIDTH)
    shares: Array = counts / counts.sum()
    return shares


def _between(values: Array, low: float, high: float, bins: int) -> tuple[NDArray[np.intp], Array]:
    """The lower of the two nearest bins, by their centres, and the share of the upper one."""
    at = np.clip((values - low) / (high - low) * bins - 0.5, 0, bins - 1)
    first = np.minimum(at.astype(np.intp), bins - 2)
    return first, at - first


def _normed(blocks: Array) -> Array:
    normed: Array = blocks / np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + _EPSILON)
    return normed


def _reduced(rgb: Array, side: int) -> Array:
    step = rgb.shape[0] // side
    means: Array = rgb.reshape(side, step, side, step, 3).mean(axis=(1, 3))
    return means


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BITS:
        # `convert` would clip: 16 bits are scaled.
        values = np.asarray(image, dtype=np.float64)
        return Image.fromarray(np.clip(values / 257, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        paper = Image.new("RGB", whole.size, _WHITE)
        paper.paste(whole, mask=whole.getchannel("A"))
        return paper
    return image.convert("RGB")


def _split(cells: int) -> Array:
    """How much of a row of pixels goes to which cell, (cells, SIDE): tents over their centres."""
    pixels = (np.arange(SIDE) + 0.5) * cells / SIDE - 0.5
    return np.maximum(0.0, 1.0 - np.abs(pixels[None, :] - np.arange(cells)[:, None]))


def _centre() -> Array:
    """How near the centre each pixel of the colours is, 0 to 1."""
    off = (np.arange(_COLOURS) - (_COLOURS - 1) / 2) / 10
    near: Array = np.exp(-(off[:, None] ** 2 + off[None, :] ** 2) / 2).ravel()
    return near


_SPLITS = {cells: _split(cells) for cells, _ in _GRIDS}
_PIXELS = np.arange(SIDE * SIDE)
_CENTRE = _centre()
