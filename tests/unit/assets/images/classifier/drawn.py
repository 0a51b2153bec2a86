"""Generated products: a shape of a colour on white, which the catalogue's labels name.

Belongs here: pictures and examples. Does not: any expectation.
"""

from __future__ import annotations

import hashlib
import io
import random

from PIL import Image, ImageDraw

from assets.images.classifier.examples import Example

COLOURS = {"Red": (200, 30, 40), "Blue": (30, 60, 190), "Green": (30, 140, 60)}
SHAPES = {"Shirts": "Apparel", "Watches": "Accessories", "Shoes": "Footwear"}


def product(number: int) -> tuple[str, str]:
    """Its article type and colour."""
    chosen = random.Random(number)
    return chosen.choice(list(SHAPES)), chosen.choice(list(COLOURS))


def picture(number: int, kind: str = "JPEG", mode: str = "RGB") -> bytes:
    """60x80 pixels, somewhere near the middle."""
    article, colour = product(number)
    chosen = random.Random(number + 10**6)
    image = Image.new("RGB", (60, 80), "white")
    draw = ImageDraw.Draw(image)
    x, y = chosen.randint(6, 14), chosen.randint(12, 20)
    fill = COLOURS[colour]
    if article == "Shirts":
        draw.rectangle((x, y, x + 40, y + 50), fill=fill)
    elif article == "Watches":
        draw.ellipse((x + 8, y + 12, x + 32, y + 36), fill=fill)
        draw.rectangle((x + 17, y - 5, x + 23, y + 55), fill=fill)
    else:
        draw.polygon([(x, y + 45), (x + 40, y + 45), (x + 40, y + 35), (x, y + 20)], fill=fill)
    out = io.BytesIO()
    image.convert(mode).save(out, kind)
    return out.getvalue()


def example(number: int) -> Example:
    """As the catalogue and the inventory have it."""
    article, colour = product(number)
    content = hashlib.blake2b(picture(number), digest_size=16).hexdigest()
    return Example(number, f"images/{number}.jpg", content, SHAPES[article], article, colour)
