"""A catalogue of products in the real format with its quirks, their images, and requests for them.

Belongs here: making the files and a manifest of expected figures, counted from the products as they
are made. Does not: loading them; no code of the pipeline.

Quirks of the real catalogue: commas in the last column without quotes, names with quotes that are
quoted, the literal NA for unknown colours, usages and names, empty seasons, years and usages, names
with spaces at an edge, most products without an image, some images grey. Ours has beside these one
row of each defect, an image that is cut off, one that is a page of HTML, one of no product, and a
file whose name is no id.
"""

from __future__ import annotations

import csv
import io
import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

CATALOGUE_FILE = "styles.csv"
IMAGES_FOLDER, REQUESTS_FOLDER = "images", "requests"
MANIFEST_FILE = "manifest.json"

HEADER = (
    "id", "gender", "masterCategory", "subCategory", "articleType", "baseColour", "season",
    "year", "usage", "productDisplayName",
)  # fmt: skip

#: Below this, some quirk would have no row.
FEWEST_PRODUCTS = 120

_KINDS = (
    ("Apparel", "Topwear", "Tshirts"), ("Apparel", "Topwear", "Shirts"),
    ("Apparel", "Bottomwear", "Jeans"), ("Accessories", "Watches", "Watches"),
    ("Footwear", "Shoes", "Casual Shoes"), ("Personal Care", "Fragrance", "Deodorant"),
)  # fmt: skip
_GENDERS = ("Men", "Men", "Women", "Women", "Unisex", "Boys", "Girls")
_COLOURS = ("Black", "White", "Navy Blue", "Red", "Grey Melange")
_SEASONS = ("Summer", "Fall", "Winter", "Spring")
_USAGES = ("Casual", "Formal", "Sports")
_MAKERS = ("Turtle", "Puma", "Fabindia", "Titan", "Kalenji")

#: Rows that are rejected, by reason.
DEFECTS: Mapping[str, bytes] = {
    "missing_id": b",Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,Nobody's Shirt",
    "bad_id": b"1e3,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,Thousandth Shirt",
    "bad_year": b"900001,Men,Apparel,Topwear,Shirts,Blue,Fall,20l1,Casual,Shirt of the Year",
    "too_few_fields": b"900002,Men,Apparel,Topwear",
    "value_too_long": b"900003,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual," + b"long " * 120,
    "nul_character": b"900004,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,A\0Shirt",
    "bad_encoding": b"900005,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,Caf\xe9 Shirt",
    "unclosed_quote": b'900006,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,"Open Shirt',
}

#: Requests of the demo, by name.
REQUESTS: Mapping[str, Mapping[str, Any]] = {
    "men-fall-2010": {
        "task": "men-fall-2010", "gender": "Men", "season": "Fall", "year": 2010,
        "parameters": {"seed": 7},
    },
    "all-that-there-is": {
        "task": "all-that-there-is", "predict": True, "parameters": {"format": "webp"},
    },
    "footwear-copied": {
        "task": "footwear-copied", "operation": "copy", "master_category": "Footwear",
    },
    "a-typo": {"task": "a-typo", "gender": "Man"},
}  # fmt: skip


class Product(NamedTuple):
    """One product as the pipeline should have it; None is unknown."""

    id: int
    gender: str
    master_category: str
    sub_category: str
    article_type: str
    base_colour: str | None
    season: str | None
    year: int | None
    usage: str | None
    product_display_name: str | None


@dataclass(slots=True)
class Made:
    """What the files hold."""

    products: int = 0
    repaired: int = 0
    unknown: dict[str, int] = field(default_factory=dict)
    genders: dict[str, int] = field(default_factory=dict)
    master_categories: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    image_files: int = 0
    images: dict[str, int] = field(default_factory=dict)
    formats: dict[str, int] = field(default_factory=dict)
    grey: int = 0
    images_of_no_product: int = 0
    ignored_files: int = 0
    #: By request: products that match, and those of them whose image can be worked on.
    requests: dict[str, dict[str, int]] = field(default_factory=dict)


def write(folder: Path, products: int = 300, seed: int = 1) -> Made:
    """Write catalogue, images, requests and manifest; the same arguments give the same bytes."""
    source, made = random.Random(seed), Made()
    found = [_product(number, source) for number in range(max(products, FEWEST_PRODUCTS))]
    for name in (IMAGES_FOLDER, REQUESTS_FOLDER):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / CATALOGUE_FILE).write_bytes(_catalogue(found, made))
    usable = _write_images(folder / IMAGES_FOLDER, found, source, made)
    for name, request in REQUESTS.items():
        text = json.dumps(request, indent=2)
        (folder / REQUESTS_FOLDER / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
        filters = {key: value for key, value in request.items() if key in Product._fields}
        matching = [one for one in found if filters.items() <= one._asdict().items()]
        made.requests[name] = {
            "matching": len(matching),
            "usable": sum(1 for one in matching if one.id in usable),
        }
    text = json.dumps(asdict(made), indent=2, sort_keys=True)
    (folder / MANIFEST_FILE).write_text(f"{text}\n", encoding="utf-8")
    return made


def main(out: Path, products: int, seed: int) -> dict[str, object]:
    """Write the files and say what they hold."""
    return asdict(write(out, products, seed))


# -- catalogue ---------------------------------------------------------------------------------


def _product(number: int, source: random.Random) -> Product:
    gender = source.choice(_GENDERS)
    master, sub, article = source.choice(_KINDS)
    colour, season = source.choice(_COLOURS), source.choice(_SEASONS)
    year: int | None = source.randint(2009, 2012)
    if number % 7 == 3:  # what the demo asks for has to be there
        gender, season, year = "Men", "Fall", 2010
    name = f"{source.choice(_MAKERS)} {gender} {colour} {article}"
    if number % 10 == 4:
        name = f"{name}, Belt, and, Socks {number}"
    elif number % 25 == 11:
        name = f'{name} 3.5" Edition'
    return Product(
        1_000 + number * 3,
        gender,
        master,
        sub,
        article,
        None if number % 20 == 9 else colour,
        None if number % 30 == 17 else season,
        None if number % 40 == 21 else year,
        None if number % 15 in (6, 8) else source.choice(_USAGES),
        None if number % 50 == 32 else name,
    )


def _catalogue(products: Sequence[Product], made: Made) -> bytes:
    """The file, with every defect once and the first product twice, its last row being right."""
    lines = [",".join(HEADER).encode()]
    first = products[0]
    lines.append(_line(first._replace(product_display_name="Superseded in its own file"), -1)[0])
    made.rejected = {"duplicate_id": 1, **dict.fromkeys(DEFECTS, 1)}
    for number, product in enumerate(products):
        line, spilled = _line(product, number)
        lines.append(line)
        made.repaired += spilled
        if number % 15 == 14 and number // 15 < len(DEFECTS):
            lines.append(list(DEFECTS.values())[number // 15])
    made.products = len(products)
    made.genders = _counted(products, "gender")
    made.master_categories = _counted(products, "master_category")
    made.unknown = {
        name: sum(1 for one in products if getattr(one, name) is None) for name in Product._fields
    }
    return b"\n".join(lines) + b"\n"


def _line(product: Product, number: int) -> tuple[bytes, bool]:
    """The product's row, and whether its name spills over into further fields."""
    values = ["" if value is None else str(value) for value in product]
    for at, name in enumerate(Product._fields):
        # As the real file has them: seasons and years are empty, usages either, the rest is NA.
        if not values[at] and name not in ("season", "year") and number % 15 != 8:
            values[at] = "NA"
    if number % 12 == 5 and product.product_display_name:
        values[-1] = f" {values[-1]} "
    if '"' in values[-1] or (number % 20 == 14):
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(values)
        return text.getvalue().encode(), False
    return ",".join(values).encode(), "," in values[-1]


def _counted(products: Sequence[Product], name: str) -> dict[str, int]:
    return dict(sorted(Counter(getattr(one, name) for one in products).items()))


# -- images ------------------------------------------------------------------------------------


def _write_images(
    folder: Path, products: Sequence[Product], source: random.Random, made: Made
) -> set[int]:
    """Images of two products in three; the ids of those that can be worked on."""
    usable: set[int] = set()
    statuses: Counter[str] = Counter()
    formats: Counter[str] = Counter()
    for number, product in enumerate(products):
        if number % 3 == 1:
            continue
        kind = ("JPEG", "JPEG", "PNG", "WEBP")[number % 4]
        grey = number % 36 == 24
        name = f"{product.id}.{ {'JPEG': 'jpg', 'PNG': 'png', 'WEBP': 'webp'}[kind] }"
        data = _image(kind, source, grey=grey)
        status = "ok"
        if number == 5:
            data, status = data[: len(data) // 2], "corrupt"
        elif number == 8:
            name, data = f"{product.id}.jpg", b"<!DOCTYPE html><title>404 Not Found</title>\n"
            status, grey = "unsupported", False
        elif number == 9:
            name = f"{product.id}.JPG" if kind == "JPEG" else name.upper()
        (folder / name).write_bytes(data)
        statuses[status] += 1
        made.grey += grey and status == "ok"
        if status == "ok":
            usable.add(product.id)
            formats[kind] += 1
    (folder / "999999.png").write_bytes(_image("PNG", source, grey=False))
    (folder / "logo.png").write_bytes(_image("PNG", source, grey=False))
    statuses["ok"] += 1
    formats["PNG"] += 1
    made.images_of_no_product = made.ignored_files = 1
    made.images, made.formats = dict(sorted(statuses.items())), dict(sorted(formats.items()))
    made.image_files = sum(statuses.values())
    return usable


def _image(kind: str, source: random.Random, *, grey: bool) -> bytes:
    """A small picture of one product on a light ground; grey ones are no WebP."""
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (60, 80), (250, 250, 250))
    draw = ImageDraw.Draw(picture)
    colour = tuple(source.randrange(230) for _ in range(3))
    left, top = source.randrange(5, 20), source.randrange(5, 25)
    draw.rectangle((left, top, 60 - left, 80 - top // 2), fill=colour)
    draw.ellipse((left + 5, top - 4, 55 - left, top + 14), fill=colour)
    if grey and kind != "WEBP":
        picture = picture.convert("L")
    buffer = io.BytesIO()
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
