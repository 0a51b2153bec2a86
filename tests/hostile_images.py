"""A corpus of image files as an unkind world sends them, each with what must come of it.

Belongs here: bytes and the status that a transform gives them. Does not: processing them.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, ImageCms

from assets.images.processing.operation import Limits, Status

#: Under these the statuses hold.
LIMITS = Limits(most_pixels=30_000_000, most_bytes=8 * 1024 * 1024, seconds=10.0)


@dataclass(frozen=True)
class Hostile:
    """One file. ``status`` is that of a transform, ``copied`` that of a copy if it is another.

    A copy looks at the structure only.
    """

    name: str
    data: bytes
    status: Status
    copied: Status | None = None

    @property
    def of_copy(self) -> Status:
        return self.copied or self.status


def picture(width: int = 120, height: int = 160, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """Coarse colours, of another kind in each corner."""
    cells = random.Random(seed).randbytes(6 * 8 * 3)
    small = Image.frombytes("RGB", (6, 8), cells)
    return small.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_header(width: int, height: int, depth: int = 8, colour: int = 2) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)


def png_of(header: bytes, rows: bytes, *chunks: bytes) -> bytes:
    idat = png_chunk(b"IDAT", zlib.compress(rows, 9))
    return b"".join((header, *chunks, idat, png_chunk(b"IEND", b"")))


def oriented(orientation: int, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if kind == "JPEG" else {}
    return saved(picture(), kind, exif=exif, **options)


def sixteen_bit(width: int = 64, height: int = 64) -> bytes:
    """A grey ramp over all of the sixteen bits, left to right."""
    row = b"".join(struct.pack(">H", round(65535 * x / (width - 1))) for x in range(width))
    return png_of(png_header(width, height, 16, 0), (b"\0" + row) * height)


def with_segment(jpeg: bytes, marker: int, body: bytes) -> bytes:
    return jpeg[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body + jpeg[2:]


def _jpegs() -> Iterator[Hostile]:
    plain = saved(picture(), "JPEG")
    large = saved(picture(900, 1200), "JPEG", quality=90)
    progressive = saved(picture(900, 1200), "JPEG", progressive=True)
    middle = len(large) // 2
    zeroed = large[:middle] + bytes(3000) + large[middle + 3000 :]
    yield Hostile("plain", plain, "ok")
    yield Hostile("progressive", progressive, "ok")
    yield Hostile("grey", saved(picture(mode="L"), "JPEG"), "ok")
    yield Hostile("cmyk", saved(picture(mode="CMYK"), "JPEG"), "ok")
    for orientation in range(1, 9):
        yield Hostile(f"orientation-{orientation}", oriented(orientation), "ok")
    yield Hostile("orientation-99", oriented(99), "ok")
    yield Hostile("one-pixel", saved(picture(1, 1), "JPEG"), "ok")
    yield Hostile("wide", saved(picture(65500, 1), "JPEG"), "ok")
    yield Hostile("high", saved(picture(1, 65500), "JPEG"), "ok")
    first = picture()
    mpo = saved(first, "MPO", save_all=True, append_images=[picture(60, 80, seed=2)])
    yield Hostile("mpo", mpo, "ok")
    yield Hostile("mpo-second-cut", mpo[:-100], "ok")
    yield Hostile("tail-of-garbage", plain + random.Random(3).randbytes(5000), "ok")
    yield Hostile("empty", b"", "corrupt")
    yield Hostile("start-only", plain[:3], "corrupt")
    yield Hostile("cut-in-header", plain[:100], "corrupt")
    yield Hostile("cut-in-data", large[:middle], "corrupt")
    yield Hostile("progressive-cut", progressive[: len(progressive) // 2], "corrupt")
    yield Hostile("no-end-marker", large[:-2], "corrupt")
    thumbnail = with_segment(large[:-2], 0xE1, b"Exif\0\0" + plain)
    yield Hostile("cut-with-thumbnail", thumbnail, "corrupt")
    # Valid to every reader: the coefficients of a grey.
    yield Hostile("zeroed-middle", zeroed, "ok")
    yield Hostile("zeros", bytes(5000), "unsupported")
    yield Hostile("bad-tables", plain[:20] + b"\xff" * 200 + plain[220:], "corrupt")
    nothing = plain[:2] + b"\xff\xd9"
    yield Hostile("no-picture", nothing, "corrupt")
    huge = bytearray(plain)
    at = plain.index(b"\xff\xc0") + 5
    huge[at : at + 4] = struct.pack(">HH", 65500, 65500)
    yield Hostile("huge-by-header", bytes(huge), "too_large")
    none = bytearray(plain)
    none[at : at + 4] = struct.pack(">HH", 0, 120)
    yield Hostile("no-height", bytes(none), "corrupt")
    yield Hostile("too-many-bytes", plain + bytes(LIMITS.most_bytes), "too_large")
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield Hostile("icc", saved(picture(), "JPEG", icc_profile=srgb), "ok")
    yield Hostile("icc-broken", saved(picture(), "JPEG", icc_profile=srgb[:200]), "ok")
    yield Hostile("icc-of-rgb-on-cmyk", saved(picture(mode="CMYK"), "JPEG", icc_profile=srgb), "ok")
    yield Hostile("exif-garbage", with_segment(plain, 0xE1, b"Exif\0\0" + bytes(range(200))), "ok")
    yield Hostile("exif-loop", with_segment(plain, 0xE1, _looping_exif()), "ok")
    yield Hostile("exif-orientation-text", with_segment(plain, 0xE1, _text_orientation()), "ok")


def _looping_exif() -> bytes:
    """An IFD whose next one is itself, and which names itself as EXIF's and GPS's."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<HHII", 0x8825, 4, 1, 8)
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + struct.pack("<H", 2) + entry + b"\x08\0\0\0"


def _text_orientation() -> bytes:
    entry = struct.pack("<HHI", 0x0112, 2, 4) + b"six\0"
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + entry + bytes(4)


def _pngs() -> Iterator[Hostile]:
    plain = saved(picture(), "PNG")
    rgba = picture(mode="RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(rgba.size))
    palette = picture().quantize(16)
    yield Hostile("png", plain, "ok")
    yield Hostile("png-alpha", saved(rgba, "PNG"), "ok")
    yield Hostile("png-grey-alpha", saved(rgba.convert("LA"), "PNG"), "ok")
    yield Hostile("png-palette", saved(palette, "PNG"), "ok")
    yield Hostile("png-palette-clear", saved(palette, "PNG", transparency=0), "ok")
    yield Hostile("png-colour-key", saved(picture(), "PNG", transparency=(1, 2, 3)), "ok")
    yield Hostile("png-one-bit", saved(picture(mode="1"), "PNG"), "ok")
    yield Hostile("png-16", sixteen_bit(), "ok")
    key = png_chunk(b"tRNS", b"\0\0")
    yield Hostile("png-16-key", png_of(png_header(8, 8, 16, 0), bytes(17) * 8, key), "ok")
    yield Hostile("png-48", png_of(png_header(8, 8, 16, 2), bytes(49) * 8), "ok")
    yield Hostile("png-orientation", oriented(6, "PNG"), "ok")
    frames = [picture(seed=seed) for seed in (2, 3)]
    animated = saved(picture(), "PNG", save_all=True, append_images=frames)
    yield Hostile("png-animated", animated, "unsupported")
    yield Hostile("png-cut", plain[: len(plain) // 2], "corrupt")
    yield Hostile("png-no-end", plain[:-12], "corrupt")
    yield Hostile("png-header-cut", plain[:20], "corrupt")
    yield Hostile("png-bomb-header", png_header(100_000, 100_000) + plain[33:], "too_large")
    zeros = zlib.compress(bytes(30_001 * 1000), 9)
    bomb = png_header(10_000, 10_000) + png_chunk(b"IDAT", zeros) + png_chunk(b"IEND", b"")
    yield Hostile("png-bomb", bomb, "too_large")
    within = png_header(5_000, 5_000) + png_chunk(b"IDAT", zeros) + png_chunk(b"IEND", b"")
    yield Hostile(
        "png-fewer-rows-than-stated", png_header(5_000, 6_000) + within[33:], "corrupt", "ok"
    )
    text = png_chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(80_000_000), 9))
    yield Hostile("png-text-bomb", plain[:33] + text + plain[33:], "corrupt")
    wrong = bytearray(plain)
    wrong[len(plain) // 2] ^= 0xFF
    yield Hostile("png-one-byte-altered", bytes(wrong), "corrupt")
    yield Hostile("png-zero-size", png_header(0, 0) + plain[33:], "corrupt")
    yield Hostile("png-interlaced", _interlaced(), "ok")


def _interlaced() -> bytes:
    """Adam7 of 8x8 grey pixels, all seven passes."""
    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1)
    head = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header)
    passes = ((1, 1), (1, 1), (2, 1), (2, 2), (4, 2), (4, 4), (8, 4))
    rows = b"".join((b"\0" + bytes([100]) * width) * height for width, height in passes)
    return png_of(head, rows)


def _webps() -> Iterator[Hostile]:
    plain = saved(picture(), "WEBP", quality=80)
    lossless = saved(picture(), "WEBP", lossless=True)
    frames = [picture(seed=seed) for seed in (2, 3)]
    yield Hostile("webp", plain, "ok")
    yield Hostile("webp-lossless", lossless, "ok")
    rgba = picture(mode="RGBA")
    rgba.putalpha(100)
    yield Hostile("webp-alpha", saved(rgba, "WEBP"), "ok")
    animated = saved(picture(), "WEBP", save_all=True, append_images=frames)
    yield Hostile("webp-animated", animated, "unsupported")
    yield Hostile("webp-cut", plain[: len(plain) // 2], "corrupt")
    yield Hostile("webp-header-cut", plain[:18], "corrupt")
    body = b"VP8X" + struct.pack("<IB", 10, 0) + bytes(3) + b"\xff\x3f\0" + b"\xff\x3f\0"
    huge = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    yield Hostile("webp-huge-by-header", huge, "too_large")
    small = body[:12] + b"\x10\0\0\x10\0\0" + plain[12:]
    yield Hostile(
        "webp-two-sizes", b"RIFF" + struct.pack("<I", len(small) + 4) + b"WEBP" + small, "corrupt"
    )
    yield Hostile("webp-orientation", oriented(8, "WEBP"), "ok")


def _others() -> Iterator[Hostile]:
    frames = [picture(seed=seed) for seed in (2, 3)]
    yield Hostile("gif.jpg", saved(picture(), "GIF"), "unsupported")
    animated = saved(picture(), "GIF", save_all=True, append_images=frames)
    yield Hostile("gif-animated.jpg", animated, "unsupported")
    yield Hostile("tiff.jpg", saved(picture(), "TIFF"), "unsupported")
    yield Hostile("bmp.jpg", saved(picture(), "BMP"), "unsupported")
    svg = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>'
    yield Hostile("svg.jpg", svg, "unsupported")
    yield Hostile("html.jpg", b"<!DOCTYPE html><html><body>404</body></html>", "unsupported")
    yield Hostile("pdf.jpg", b"%PDF-1.7\n", "unsupported")
    yield Hostile("eps.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported")
    yield Hostile("garbage.jpg", random.Random(1).randbytes(4000), "unsupported")
    yield Hostile("text.jpg", "Größe: ∞\n".encode() * 20, "unsupported")


def corpus() -> list[Hostile]:
    """All of them, in the same order and of the same bytes every time."""
    return [*_jpegs(), *_pngs(), *_webps(), *_others()]
