"""Contact sheets: what a task made, and what it could not, on one picture each.

Belongs here: choosing and drawing. Does not: Dagster, metadata of single images.
Imported lazily: needs pillow.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw  # noqa: TID253

from assets.images.processing.decoding import ImageRefused
from assets.images.processing.operation import Limits, Operation
from assets.images.processing.transform import transform
from assets.images.tasks.items import target_key

if TYPE_CHECKING:
    import psycopg

MOST = 48
_COLUMNS = 8
_TILE, _CAPTION = 84, 14
_INK, _PAPER, _GREY = (40, 40, 40), (255, 255, 255), (225, 225, 225)
_LETTERS = 13

#: A result as a tile. A copy may be of any size and not even decode: of more pixels than these,
#: which this process has to hold, it is named only.
_SMALL = Operation(crop=1, width=_TILE, height=_TILE, fit="contain")
_LIMITS = Limits(most_pixels=25_000_000, most_bytes=1 << 30, seconds=60)

#: For people: sharp where a tile is drawn at twice its size.
_LARGER = replace(_SMALL, width=2 * _TILE, height=2 * _TILE)
#: A copy may have as many bytes as its original: of more than these nothing is read to show it.
_MOST_SHOWN_BYTES = 8 * 1024 * 1024

#: A few of many, the same ones each time, spread over all.
_CHOSEN = """
SELECT product_id, extension, status, bytes FROM images.image_task_item
WHERE task_id = %s AND (status = 'ok') = %s
ORDER BY hashint8(product_id), product_id LIMIT %s
"""


def results(
    connection: psycopg.Connection[Any], task_id: str, read: Callable[[str], bytes]
) -> str | None:
    """Markdown with up to MOST of the task's images; None without any.

    ``read`` gives an object by its key. Raises what it raises, but for KeyError.
    """
    rows = connection.execute(_CHOSEN, (task_id, True, MOST)).fetchall()
    tiles = [
        (_drawn(read, target_key(task_id, product_id, extension), product_id), str(product_id))
        for product_id, extension, _, _ in rows
    ]
    return _markdown(tiles, f"{len(tiles)} of the images of {task_id}")


def rejects(connection: psycopg.Connection[Any], task_id: str) -> str | None:
    """Markdown with up to MOST of the products without a result, each with its reason."""
    rows = connection.execute(_CHOSEN, (task_id, False, MOST)).fetchall()
    tiles = [(_tile(status), str(product_id)) for product_id, _, status, _ in rows]
    return _markdown(tiles, f"{len(tiles)} of the products without an image in {task_id}")


def thumbnail(read: Callable[[str], bytes], key: str, product_id: int, size: int) -> bytes:
    """A result of ``size`` bytes as a tile for screens of any density, JPEG.

    Raises LookupError for one that is gone or cannot be shown; and what ``read`` does.
    """
    if size > _MOST_SHOWN_BYTES:
        raise LookupError(f"the result of product {product_id} has {size:,} bytes")
    try:
        return transform(read(key), product_id, _LARGER, _LIMITS).data
    except ImageRefused as error:
        raise LookupError(f"the result of product {product_id} is {error.status}") from None


def _drawn(read: Callable[[str], bytes], key: str, product_id: int) -> Image.Image:
    """A result, or why it cannot be shown: no picture of a task may end it."""
    try:
        made = transform(read(key), product_id, _SMALL, _LIMITS)
    except KeyError:
        return _tile("lost")
    except ImageRefused as error:
        return _tile(error.status)
    with Image.open(io.BytesIO(made.data)) as image:
        return image.convert("RGB")


def _tile(text: str) -> Image.Image:
    tile = Image.new("RGB", (_TILE, _TILE), _GREY)
    ImageDraw.Draw(tile).text((_TILE / 2, _TILE / 2), text, fill=_INK, anchor="mm")
    return tile


def _markdown(tiles: Sequence[tuple[Image.Image, str]], title: str) -> str | None:
    if not tiles:
        return None
    rows = -(-len(tiles) // _COLUMNS)
    columns = min(len(tiles), _COLUMNS)
    sheet = Image.new("RGB", (columns * _TILE, rows * (_TILE + _CAPTION)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for position, (tile, caption) in enumerate(tiles):
        x, y = position % _COLUMNS * _TILE, position // _COLUMNS * (_TILE + _CAPTION)
        sheet.paste(tile, (x, y))
        draw.text((x + 2, y + _TILE + 1), caption[:_LETTERS], fill=_INK)
    data = io.BytesIO()
    sheet.save(data, "JPEG", quality=80)
    return f"![{title}](data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()})"
