"""Which images are let in, by their bytes, and what is known of them before a pixel is made.

Imported lazily: needs pillow.

Belongs here: limits, what makes a file no image of ours, opening one. Does not: headers
(``containers.py``), pixels in one mode (``pixels.py``), what is done to them (``transform.py``).
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from zlib import error as ZlibError  # noqa: N812

from PIL import Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: TID253
from PIL.ImageFile import ImageFile  # noqa: TID253

from assets.images.processing import containers
from assets.images.processing.operation import Format, Limits, Status

#: What Pillow raises for bytes that it cannot read, as files cut and altered at random show.
UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, LookupError, TypeError, AttributeError,
    ArithmeticError, RuntimeError, ZlibError, Image.DecompressionBombError,
)  # fmt: skip
_MOST_DETAIL = 160

# Each by its own class: Image.open makes an MPO of a JPEG that carries a second picture, and has a
# limit of the whole process, of which it at first only warns.
_OPENERS: dict[Format, Callable[[io.BytesIO], ImageFile]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}


class ImageRefused(Exception):
    """No image of ours: ``status`` is ``corrupt``, ``too_large`` or ``unsupported``.

    ``detail`` is a short line of printable text.
    """

    def __init__(self, status: Status, detail: str) -> None:
        self.status: Status = status
        self.detail = printable(detail)
        super().__init__(self.detail)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file is. ``status`` is ``ok``, or why it is refused, which ``detail`` says in words.

    ``format`` is ``JPEG``, ``PNG``, ``WEBP``, the name of another known one, or empty; ``width``
    and ``height`` are pixels as stored, before any EXIF orientation, 0 where unknown; ``mode`` is
    Pillow's, empty where the file was not opened.
    """

    format: str
    width: int
    height: int
    mode: str
    status: Status
    detail: str


def probe(data: bytes, limits: Limits) -> Probe:
    """What the bytes of a whole file are, by their structure: no pixel is decoded.

    Raises MemoryError only, whatever they contain. ``ok`` says that the file is of a format that is
    taken, is within the limits, holds one picture and ends where it should. Bytes altered within
    it show only when it is decoded, and some not even then: zeros amid a JPEG's data are a valid
    grey.
    """
    try:
        with opened(data, limits) as image:
            return Probe(containers.name_of(data), *image.size, image.mode, "ok", "")
    except ImageRefused as error:
        found = containers.inspect(data)
        size = (found.width, found.height) if found else (0, 0)
        return Probe(containers.name_of(data), *size, "", error.status, error.detail)


@contextmanager
def opened(data: bytes, limits: Limits) -> Iterator[ImageFile]:
    """The image, nothing of it decoded. Raises ImageRefused, MemoryError.

    An MPO is its first picture, which is a JPEG like any other; an animation is refused, since
    none of its pictures stands for it.
    """
    kind = _admitted(data, limits)
    with reading():
        image = _OPENERS[kind](io.BytesIO(data))
    with image:
        yield image


@contextmanager
def reading() -> Iterator[None]:
    """Around a call that makes Pillow read the file: raises ImageRefused for what that raises.

    But for MemoryError, which may be the fault of another image beside it.
    """
    try:
        yield
    except UNREADABLE as error:
        raise ImageRefused("corrupt", str(error) or type(error).__name__) from error


def _admitted(data: bytes, limits: Limits) -> Format:
    """The format. Raises ImageRefused.

    From the file's structure, and at once: Pillow's WebP allocates all pixels when it opens a file,
    and its ``draft`` states another size than the file's.
    """
    if not data:
        raise ImageRefused("corrupt", "empty file")
    if len(data) > limits.most_bytes:
        raise ImageRefused("too_large", f"{len(data):,} bytes, {limits.most_bytes:,} at most")
    found = containers.inspect(data)
    if found is None:
        name = containers.name_of(data)
        raise ImageRefused("unsupported", f"{name or 'unknown'}, not JPEG, PNG or WebP")
    if found.width * found.height > limits.most_pixels:
        raise ImageRefused(
            "too_large", f"{found.width}x{found.height} pixels, {limits.most_pixels:,} at most"
        )
    if found.problem:
        raise ImageRefused("corrupt", found.problem)
    if found.animated:
        raise ImageRefused("unsupported", f"an animated {found.format}")
    return found.format


def printable(text: str) -> str:
    """One short line of what a library said, which may quote the file's own bytes."""
    line = " ".join("".join(c if c.isascii() and c.isprintable() else " " for c in text).split())
    return line[:_MOST_DETAIL]
