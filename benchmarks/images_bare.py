"""The least that does the same to images: one thread, one loop, no account of anything.

Run by ``images.py``, several at once, each with its part of the keys:

    python -m benchmarks.images_bare store|files|naive PART PARTS DIRECTORY ENDPOINT SOURCE TARGET

``store`` reads and writes objects with obstore, ``files`` files of DIRECTORY; both decode with
draft as ours do. ``naive`` works on the store, too: decode all of it, crop, resize, encode. Keys
are the lines of DIRECTORY/keys; who asks is in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image

SIZE, CROP, QUALITY, MARGIN = 256, 0.8, 90, 1.5


def drafted(data: bytes) -> bytes:
    image = Image.open(io.BytesIO(data))
    width, height = image.size
    left, top, across, down = _box(data, width, height)
    factor = max(1.0, min(across, down) / (SIZE * MARGIN))
    scaled = image.draft(None, (int(width / factor), int(height / factor)))
    x, y = (scaled[1][2] / width, scaled[1][3] / height) if scaled else (1.0, 1.0)
    box = (left * x, top * y, (left + across) * x, (top + down) * y)
    small = image.resize((SIZE, SIZE), Image.Resampling.LANCZOS, box, 2.0)
    return _encoded(small.convert("RGB"))


def naive(data: bytes) -> bytes:
    image = Image.open(io.BytesIO(data)).convert("RGB")
    left, top, across, down = _box(data, *image.size)
    cropped = image.crop((left, top, left + across, top + down))
    return _encoded(cropped.resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def _box(data: bytes, width: int, height: int) -> tuple[int, int, int, int]:
    drawn = hashlib.blake2b(data, digest_size=8).digest()
    across, down = round(width * CROP), round(height * CROP)
    left = int.from_bytes(drawn[:4], "big") % (width - across + 1)
    top = int.from_bytes(drawn[4:], "big") % (height - down + 1)
    return left, top, across, down


def _encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def main(kind: str, part: str, parts: str, folder: str, endpoint: str, *buckets: str) -> None:
    directory = Path(folder)
    keys = (directory / "keys").read_text().splitlines()[int(part) :: int(parts)]
    work: Callable[[bytes], bytes] = naive if kind == "naive" else drafted
    if kind == "files":
        for key in keys:
            (directory / "out" / key).write_bytes(work((directory / "in" / key).read_bytes()))
        return
    import obstore
    from obstore.store import S3Store

    source, target = (
        S3Store(
            bucket, aws_endpoint_url_s3=endpoint, region="us-east-1", unsigned_payload=True,
            client_options={"allow_http": True},
        )
        for bucket in buckets
    )  # fmt: skip
    for key in keys:
        obstore.put(target, key, work(obstore.get(source, key).bytes().to_bytes()))


if __name__ == "__main__":
    main(*sys.argv[1:])
