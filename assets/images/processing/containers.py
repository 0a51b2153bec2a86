"""JPEG, PNG and WebP files by their structure: how large, whole or cut, one picture or many.

Belongs here: reading headers and the chain of segments or chunks. Does not: pixels, and what is let
in (``decoding.py``). Needs nothing but the bytes, so it allocates nothing for a picture.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from assets.images.processing.operation import Format

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
#: How files begin, the first that fits.
_BEGINNINGS: tuple[tuple[str, re.Pattern[bytes]], ...] = tuple(
    (name, re.compile(pattern, re.DOTALL))
    for name, pattern in (
        ("JPEG", rb"\xff\xd8\xff"), ("PNG", re.escape(_PNG_MAGIC)), ("WEBP", rb"RIFF.{4}WEBP"),
        ("GIF", rb"GIF8"), ("TIFF", rb"II\*\0|MM\0\*"), ("BMP", rb"BM.{4}\0{4}"), ("PDF", rb"%PDF"),
        ("AVIF", rb".{4}ftypavi"), ("HEIF", rb".{4}ftyp"), ("PSD", rb"8BPS"),
        ("ZIP", rb"PK\x03\x04"), ("ICO", rb"\0\0\x01\0"), ("JPEG 2000", rb"\0\0\0\x0cjP  "),
        ("EPS", rb"%!PS"),
        ("gzip", rb"\x1f\x8b"), ("HTML", rb"(\xef\xbb\xbf)?\s*(?i:<!doctype html|<html)"),
        ("SVG", rb"(\xef\xbb\xbf)?\s*<(svg|.*<svg)"),
    )
)  # fmt: skip
_HEAD = 1024
#: Room for a camera's EXIF and profile before the size.
_LONG_HEAD = 256 * 1024

# Between segments there may be any number of 0xff.
_MARKER = re.compile(rb"\xff+([^\x00\xff])", re.DOTALL)
_END = b"\xff\xd9"
_SOS, _ALONE = 0xDA, {0x01, *range(0xD0, 0xD9)}
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Container:
    """What a file's structure says. Pixels are as stored; ``problem`` is empty for a whole file."""

    format: Format
    width: int = 0
    height: int = 0
    animated: bool = False
    problem: str = ""


def name_of(data: bytes) -> str:
    """The format that the first bytes say, empty when none is known. Names of files say nothing."""
    head = data[:_HEAD]
    return next((name for name, beginning in _BEGINNINGS if beginning.match(head)), "")


def inspect(data: bytes) -> Container | None:
    """The structure of a JPEG, PNG or WebP file; None for any other."""
    match name_of(data):
        case "JPEG":
            return _jpeg(data)
        case "PNG":
            return _png(data)
        case "WEBP":
            return _webp(data)
        case _:
            return None


def pixels(data: bytes) -> int:
    """How many the file says it has, from its head alone; 0 where it does not say."""
    found = inspect(data[:_LONG_HEAD])
    return found.width * found.height if found else 0


def _jpeg(data: bytes) -> Container:
    width = height = 0
    coded = False
    position = 2
    while not coded and (found := _MARKER.match(data, position)):
        marker, position = found[1][0], found.end()
        coded = marker == _SOS
        if marker in _ALONE:
            continue
        if marker in _FRAMES and not width:
            height = int.from_bytes(data[position + 3 : position + 5], "big")
            width = int.from_bytes(data[position + 5 : position + 7], "big")
        position += max(2, int.from_bytes(data[position : position + 2], "big"))
    problem = ""
    if not (width and height):
        problem = "has no size"
    # Looked for from the end, where it mostly is: looking through all of the data takes 3 ms of a
    # photograph. It cannot be in coded data, where 0xff is followed by 0; what follows it is no
    # part of the picture (a second one of an MPO, a camera's own).
    elif not coded or data.rfind(_END, position) < 0:
        problem = "cut off before its end marker"
    return Container("JPEG", width, height, problem=problem)


def _png(data: bytes) -> Container:
    width = height = 0
    animated = False
    problem = "cut off before its end chunk"
    position = len(_PNG_MAGIC)
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind = data[position + 4 : position + 8]
        end = position + 8 + length
        # Pillow leaves out that of the pixels. A chunk of a small first letter may be ignored.
        if kind[:1].isupper() and end + 4 <= len(data):
            stated = int.from_bytes(data[end : end + 4], "big")
            if zlib.crc32(memoryview(data)[position + 4 : end]) != stated:
                problem = f"the checksum of its {kind.decode('ascii', 'replace')} is wrong"
                break
        if kind == b"IHDR":
            width = int.from_bytes(data[position + 8 : position + 12], "big")
            height = int.from_bytes(data[position + 12 : position + 16], "big")
        elif kind == b"acTL":
            animated = True
        elif kind == b"IEND":
            problem = ""
            break
        position = end + 4
    if not (width and height):
        problem = "has no size"
    return Container("PNG", width, height, animated, problem)


def _webp(data: bytes) -> Container:
    declared = int.from_bytes(data[4:8], "little") + 8
    problem = "" if len(data) >= declared else "cut off before the end that it states"
    kind, animated, width, height = data[12:16], False, 0, 0
    if kind == b"VP8X":
        animated = bool(data[20] & 2) if len(data) > 20 else False  # noqa: PLR2004
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width = int.from_bytes(data[26:28], "little") & 0x3FFF
        height = int.from_bytes(data[28:30], "little") & 0x3FFF
    if len(data) < 30 or not (width and height):  # noqa: PLR2004
        problem = "has no size"
    return Container("WEBP", width, height, animated, problem)
