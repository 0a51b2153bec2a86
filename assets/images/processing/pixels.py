"""Pixels of any kind of file as eight-bit sRGB.

Imported lazily: needs pillow.

Belongs here: modes, colour profiles, alpha, EXIF. Does not: which files are let in
(``decoding.py``), sizes (``geometry.py``).
"""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image, ImageCms  # noqa: TID253
from PIL.ImageFile import ImageFile  # noqa: TID253

from assets.images.processing.decoding import UNREADABLE, reading

_ORIENTATION, _EXIF_IFD, _PIXELS_X, _PIXELS_Y = 0x0112, 0x8769, 0xA002, 0xA003
_LAST_ORIENTATION = 8
#: A JPEG's segment holds no more, its name included.
_MOST_EXIF = 65_533 - 6
_WHITE = (255, 255, 255)
#: A profile is of one of these spaces, and says nothing of pixels in another.
_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}


def orientation(image: ImageFile) -> int:
    """EXIF's, 1 to 8; 1 where it says nothing that can be read."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except UNREADABLE:
        return 1
    return value if isinstance(value, int) and 1 <= value <= _LAST_ORIENTATION else 1


def kept_exif(image: ImageFile, width: int, height: int) -> bytes:
    """The image's EXIF for its upright copy of that size; empty where it has none to keep."""
    try:
        exif = image.getexif()
        if not exif:
            return b""
        exif[_ORIENTATION] = 1
        inner = exif.get_ifd(_EXIF_IFD)
        if _PIXELS_X in inner:
            inner[_PIXELS_X], inner[_PIXELS_Y] = width, height
        written = exif.tobytes()
    except UNREADABLE:
        return b""
    return written if len(written) <= _MOST_EXIF else b""


def eight_bit(image: ImageFile) -> Image.Image:
    """Decode it, into a mode that can be resized: L, LA, RGB, RGBA or CMYK.

    Raises decoding.ImageRefused.
    """
    with reading():
        image.load()
    if image.mode.startswith("I"):
        # Of sixteen bits: `convert` would make white of all that is above 255.
        return image.point(lambda value: value * (1 / 257) + 0.5).convert("L")
    if image.mode == "P" or "transparency" in image.info:
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.convert("L") if image.mode == "1" else image


def coloured(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str]:
    """As sRGB, in mode RGB or RGBA, by the file's ICC profile; and what was wrong with that."""
    alpha = image.getchannel("A") if image.mode in {"LA", "RGBA"} else None
    base = image.convert(image.mode[:-1]) if alpha else image
    note = ""
    if profile:
        transform = _to_srgb(profile, base.mode)
        if transform is None:
            note = "its colour profile is not usable"
        else:
            base = transform.apply(base)
    rgb = base.convert("RGB")
    if alpha:
        rgb.putalpha(alpha)
    return rgb, note


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Made once for the many images of one camera. None for a profile that says nothing of it."""
    try:
        read = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if read.profile.xcolor_space.strip() != _SPACES.get(mode):
            return None
        target = ImageCms.createProfile("sRGB")
        return ImageCms.ImageCmsTransform(read, ImageCms.ImageCmsProfile(target), mode, "RGB")
    except (ImageCms.PyCMSError, *UNREADABLE):
        return None


def flattened(image: Image.Image) -> Image.Image:
    """On white, where it is transparent."""
    if image.mode != "RGBA":
        return image
    flat = Image.new("RGB", image.size, _WHITE)
    flat.paste(image, mask=image.getchannel("A"))
    return flat


def white(image: Image.Image) -> tuple[int, ...]:
    """What fills the parts of a picture that have none: nothing, where it can be seen through."""
    return (*_WHITE, 0) if image.mode == "RGBA" else _WHITE
