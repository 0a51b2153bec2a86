"""What is done to an image, and what came of it: the words that requests, workers and tasks share.

Belongs here: values. Does not: doing it (``transform.py``), what a request may say
(``requests/request.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["copy", "transform"]
Fit = Literal["stretch", "cover", "contain"]
Format = Literal["JPEG", "PNG", "WEBP"]
Exif = Literal["drop", "keep"]
Flip = Literal["none", "horizontal", "vertical", "random"]

#: What may become of an item.
Status = Literal["ok", "missing", "corrupt", "too_large", "unsupported", "timeout", "crashed"]
STATUSES: tuple[Status, ...] = get_args(Status)

EXTENSIONS: dict[Format, str] = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}


@dataclass(frozen=True, slots=True)
class Operation:
    """What a task does to each of its images.

    ``copy`` writes the bytes as they are, once it is seen that they are an image within the limits.
    ``transform`` turns it upright, crops a random box of ``crop`` times its width and height, and
    resizes that to ``width`` x ``height`` pixels. ``fit``: ``stretch`` as it comes, ``cover`` cut
    to the ratio, ``contain`` padded. ``rotate`` are degrees at most, either way, ``jitter`` the
    largest relative change of brightness, contrast and colour, ``blur`` a radius in pixels; each
    image's own are drawn from the seed, as its crop and a random flip are.
    """

    kind: Kind = "transform"
    crop: float = 0.8
    width: int = 256
    height: int = 256
    fit: Fit = "stretch"
    seed: int = 0
    format: Format = "JPEG"
    quality: int = 90
    exif: Exif = "drop"
    flip: Flip = "none"
    rotate: float = 0.0
    jitter: float = 0.0
    blur: float = 0.0


@dataclass(frozen=True, slots=True)
class Item:
    """One image to work on: ``number`` within its task, keys of the object read and written."""

    number: int
    product_id: int
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an item.

    ``detail`` says why it is not ``ok``, or what of one that is could not be followed, such as a
    colour profile.

    ``content`` and ``digest`` are BLAKE2b-128, hex, of what was read and written; ``width`` and
    ``height`` those of the image written, ``bytes`` its size; ``seconds`` the time that it took.
    """

    number: int
    status: Status
    detail: str = ""
    content: str = ""
    digest: str = ""
    width: int = 0
    height: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one image may take: pixels and bytes of the file, seconds of a worker."""

    most_pixels: int
    most_bytes: int
    seconds: float
