"""Boxes and sizes: which part of a stored picture becomes which part of the one made.

Belongs here: numbers. Does not: pixels.
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass

from assets.images.processing.operation import Operation

Box = tuple[float, float, float, float]
Size = tuple[int, int]

#: A picture is decoded at no less than so many times the size wanted. At 1 the error of decoding
#: small comes close to that of the JPEG written (31 dB on hard edges), at 1.5 it stays below it.
MARGIN = 1.5

#: By EXIF orientation, how a point of the upright picture lies in the stored one: whether its
#: coordinates are swapped, then whether x and y are counted from the other side.
_STORED: dict[int, tuple[bool, bool, bool]] = {
    1: (False, False, False), 2: (False, True, False), 3: (False, True, True),
    4: (False, False, True), 5: (True, False, False), 6: (True, False, True),
    7: (True, True, True), 8: (True, True, False),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Draws:
    """An image's own numbers, each from 0 to below 1. Their order is part of what a task makes."""

    x: float
    y: float
    flip: float
    angle: float
    brightness: float
    contrast: float
    colour: float

    @classmethod
    def of(cls, seed: int, product_id: int, content: str) -> Draws:
        """The same wherever and whenever; ``content`` is the hash of the file's bytes."""
        text = f"{seed}/{product_id}/{content}".encode()
        digest = hashlib.blake2b(text, digest_size=56, person=b"quintet.images").digest()
        return cls(*((word >> 11) / 2**53 for word in struct.unpack(">7Q", digest)))


@dataclass(frozen=True, slots=True)
class Cut:
    """A part of the stored picture (pixels, as stored) and the size that it gets there."""

    box: Box
    size: Size

    @property
    def draft(self) -> float:
        """How many times smaller the whole may be decoded, in both directions."""
        across = (self.box[2] - self.box[0]) / (MARGIN * self.size[0])
        down = (self.box[3] - self.box[1]) / (MARGIN * self.size[1])
        return min(across, down)

    def scaled(self, across: float, down: float) -> Box:
        """The box in a picture of other pixels. Not rounded, which would move it by up to one."""
        left, top, right, bottom = self.box
        return (left * across, top * down, right * across, bottom * down)


def cut(stored: Size, orientation: int, operation: Operation, draws: Draws) -> Cut:
    """What is cut out of a stored picture, so that it is the wanted part once upright."""
    swapped, from_right, from_bottom = _STORED[orientation]
    width, height = (stored[1], stored[0]) if swapped else stored
    left, top, right, bottom = _box(width, height, operation, draws)
    wanted = _size(right - left, bottom - top, operation)
    if swapped:
        left, top, right, bottom = top, left, bottom, right
        wanted = (wanted[1], wanted[0])
    if from_right:
        left, right = stored[0] - right, stored[0] - left
    if from_bottom:
        top, bottom = stored[1] - bottom, stored[1] - top
    return Cut((left, top, right, bottom), wanted)


def _box(width: int, height: int, operation: Operation, draws: Draws) -> Box:
    """Of whole pixels of the upright picture."""
    across, down = (max(1, round(side * operation.crop)) for side in (width, height))
    left = math.floor(draws.x * (width - across + 1))
    top = math.floor(draws.y * (height - down + 1))
    if operation.fit == "cover":
        ratio = operation.width / operation.height
        narrow = max(1, min(across, round(down * ratio)))
        low = max(1, min(down, round(across / ratio)))
        left, top = left + (across - narrow) // 2, top + (down - low) // 2
        across, down = narrow, low
    return (left, top, left + across, top + down)


def _size(across: float, down: float, operation: Operation) -> Size:
    """What the box becomes: all of the picture made, or what of it is not padding."""
    width, height = operation.width, operation.height
    if operation.fit != "contain":
        return (width, height)
    factor = min(width / across, height / down)
    return (max(1, round(across * factor)), max(1, round(down * factor)))
