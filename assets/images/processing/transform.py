"""One image's bytes to another's: the same bytes for the same ones, whoever does it.

Imported lazily: needs pillow.

Belongs here: the order of what is done. Does not: which files are let in (``decoding.py``), boxes
(``geometry.py``), colours (``pixels.py``), stores and processes (``worker.py``).
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageEnhance, ImageFilter, ImageOps  # noqa: TID253
from PIL.ImageFile import ImageFile  # noqa: TID253

from assets.images.processing import decoding, geometry, pixels
from assets.images.processing.geometry import Draws
from assets.images.processing.operation import Limits, Operation

#: Pillow averages whole pixels down to this many times the wanted size, and filters the rest.
_REDUCING_GAP = 2.0
#: By which a JPEG can be decoded smaller than it is.
_FACTORS = (8, 4, 2, 1)
_UPRIGHT: dict[int, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Made:
    """What is to be written, and its size in pixels.

    ``content`` and ``digest`` are BLAKE2b-128, hex, of what was read and of ``data``. ``note`` says
    what of the image could not be followed, such as a colour profile; mostly empty.
    """

    data: bytes
    width: int
    height: int
    content: str
    digest: str
    note: str = ""


def hash_of(data: bytes) -> str:
    """BLAKE2b-128, hex."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def transform(data: bytes, product_id: int, operation: Operation, limits: Limits) -> Made:
    """Do the operation to an image file's bytes. Raises decoding.ImageRefused, MemoryError."""
    content = hash_of(data)
    if operation.kind == "copy":
        found = decoding.probe(data, limits)
        if found.status != "ok":
            raise decoding.ImageRefused(found.status, found.detail)
        return Made(data, found.width, found.height, content, content)
    draws = Draws.of(operation.seed, product_id, content)
    with decoding.opened(data, limits) as image:
        small = _cut_out(image, operation, draws)
        coloured, note = pixels.coloured(small, image.info.get("icc_profile"))
        if operation.format == "JPEG":
            coloured = pixels.flattened(coloured)
        finished = _padded(_varied(coloured, operation, draws), operation)
        exif = pixels.kept_exif(image, *finished.size) if operation.exif == "keep" else b""
    written = _encoded(finished, operation, exif)
    return Made(written, *finished.size, content, hash_of(written), note)


def _cut_out(image: ImageFile, operation: Operation, draws: Draws) -> Image.Image:
    """The wanted part at its wanted size, upright, in the colours of the file."""
    # The order matters: what is read of EXIF may load a PNG, and draft changes a JPEG's size.
    orientation = pixels.orientation(image)
    width, height = image.size
    cut = geometry.cut((width, height), orientation, operation, draws)
    across: float
    down: float
    across, down = image.size
    factor = next(factor for factor in _FACTORS if factor <= max(1.0, cut.draft))
    # Asked for as a size, of which Pillow takes the least factor: this one for any width.
    drafted = image.draft(None, (max(1, width // factor), max(1, height // factor)))
    if drafted:
        across, down = drafted[1][2:]
    whole = pixels.eight_bit(image)
    box = cut.scaled(across / width, down / height)
    small = whole.resize(cut.size, Image.Resampling.LANCZOS, box, _REDUCING_GAP)
    return small.transpose(_UPRIGHT[orientation]) if orientation > 1 else small


def _varied(image: Image.Image, operation: Operation, draws: Draws) -> Image.Image:
    """Flipped, turned, of other colours, blurred."""
    if operation.flip == "horizontal" or (operation.flip == "random" and draws.flip < 0.5):  # noqa: PLR2004
        image = ImageOps.mirror(image)
    elif operation.flip == "vertical":
        image = ImageOps.flip(image)
    if operation.rotate:
        angle = operation.rotate * (2 * draws.angle - 1)
        fill = pixels.white(image)
        image = image.rotate(angle, Image.Resampling.BICUBIC, fillcolor=fill)
    if operation.jitter:
        for enhance, draw in (
            (ImageEnhance.Brightness, draws.brightness),
            (ImageEnhance.Contrast, draws.contrast),
            (ImageEnhance.Color, draws.colour),
        ):
            image = enhance(image).enhance(max(0.0, 1 + operation.jitter * (2 * draw - 1)))
    return image.filter(ImageFilter.GaussianBlur(operation.blur)) if operation.blur else image


def _padded(image: Image.Image, operation: Operation) -> Image.Image:
    wanted = (operation.width, operation.height)
    if image.size == wanted:
        return image
    whole = Image.new(image.mode, wanted, pixels.white(image))
    whole.paste(image, ((wanted[0] - image.width) // 2, (wanted[1] - image.height) // 2))
    return whole


def _encoded(image: Image.Image, operation: Operation, exif: bytes) -> bytes:
    options: dict[str, Any] = {"exif": exif} if exif else {}
    if operation.format != "PNG":
        options["quality"] = operation.quality
    out = io.BytesIO()
    # What the file carried besides pixels is written only where it is named.
    image.info.clear()
    image.save(out, operation.format, **options)
    return out.getvalue()
