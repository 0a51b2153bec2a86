"""Pictures that compress and resize as photographs do: soft shapes, texture, edges, grain.

Belongs here: pixels. Does not: files of a catalogue, requests.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

#: Strength of each octave of texture, from the coarsest: a spectrum that falls as 1/f.
_OCTAVES = ((4, 0.5), (16, 0.26), (64, 0.13), (256, 0.07))
_GRAIN = 4.0


def photo(number: int, width: int = 1800, height: int = 2400) -> Image.Image:
    """The picture of that number, in RGB."""
    from PIL import Image, ImageChops, ImageDraw, ImageFilter

    rng = random.Random(number)
    picture = Image.new("RGB", (width, height), tuple(rng.randrange(60, 200) for _ in range(3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(14):
        left, top = rng.randrange(-width // 4, width), rng.randrange(-height // 4, height)
        right = left + rng.randrange(width // 8 + 1, width // 2 + 2)
        bottom = top + rng.randrange(height // 8 + 1, height // 2 + 2)
        shape = rng.choice((draw.ellipse, draw.rectangle))
        shape((left, top, right, bottom), fill=tuple(rng.randrange(20, 236) for _ in range(3)))
    picture = picture.filter(ImageFilter.GaussianBlur(1.0))
    for cells, strength in _OCTAVES:
        size = (min(cells, width), min(max(1, cells * height // width), height))
        layer = Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1]))
        layer = layer.resize((width, height), Image.Resampling.BICUBIC)
        layer = layer.point([round((value - 128) * strength / 2) + 128 for value in range(256)] * 3)
        picture = ImageChops.add(picture, layer, offset=-128)
    grain = Image.frombytes("RGB", (width, height), rng.randbytes(3 * width * height))
    grain = grain.point([round((value - 128) * _GRAIN / 128) + 128 for value in range(256)] * 3)
    return ImageChops.add(picture, grain, offset=-128)
