"""What the model learns from: products with an image and labels, and what a set of them is.

Belongs here: the set in Postgres, its hold-out, its fingerprint, how far two sets are apart. Does
not: images, features, the model.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

#: What is predicted, by the catalogue's columns.
HEADS = ("master_category", "article_type", "base_colour")

#: Images that are learned from and tested on. Their vectors, four of each, take some 0.7 GB.
MOST_IMAGES = 8_000
#: With fewer there is no model: a quarter of them would say nothing about it.
FEWEST_IMAGES = 40

#: One product in so many is held out.
_HELD_OUT = 4

#: The largest distance between the labels of a model and the catalogue's before it is told.
#: Between samples of 1,000 products of the same catalogue it is 0.02, 0.08 and 0.06.
DRIFT_LIMITS: Mapping[str, float] = {
    "master_category": 0.10,
    "article_type": 0.20,
    "base_colour": 0.20,
}

#: Of more products than MOST_IMAGES the same ones each time, whatever else lands.
_EXAMPLES = """
SELECT p.id, i.key, i.content, p.master_category, p.article_type, p.base_colour
FROM images.product AS p JOIN images.image AS i ON i.product_id = p.id
WHERE i.status = 'ok' AND p.master_category IS NOT NULL AND p.article_type IS NOT NULL
ORDER BY hashint8(p.id), p.id LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Example:
    """A product with an image: ``key`` in the bucket of products, ``content`` its hash."""

    product_id: int
    key: str
    content: str
    master_category: str
    article_type: str
    base_colour: str | None

    def label(self, head: str) -> str | None:
        """What the catalogue says; None where it says nothing."""
        return {
            "master_category": self.master_category,
            "article_type": self.article_type,
            "base_colour": self.base_colour,
        }[head]

    @property
    def fingerprint(self) -> str:
        """What a model learns of it, as 64 bits, hex."""
        parts = (str(self.product_id), self.content, *(self.label(head) or "" for head in HEADS))
        return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


def examples(connection: psycopg.Connection[Any], most: int = MOST_IMAGES) -> list[Example]:
    """At most ``most`` products that have an image and labels, by id. Raises psycopg.Error."""
    rows = connection.execute(_EXAMPLES, (most,)).fetchall()
    return [Example(row[0], row[1], row[2] or "", *row[3:]) for row in sorted(rows)]


def held_out(product_id: int) -> bool:
    """Whether the product is never learned from: one in four, by its id alone, for ever."""
    digest = hashlib.blake2b(str(product_id).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % _HELD_OUT == 0


def version_of(learned: Iterable[Example], *code: str) -> str:
    """What a model made of these by that code is called: 16 hex digits, in whatever order."""
    digest = hashlib.blake2b("\0".join(code).encode(), digest_size=8)
    for one in sorted(example.fingerprint for example in learned):
        digest.update(one.encode())
    return digest.hexdigest()


def changed_share(before: Iterable[str], now: Iterable[str]) -> float:
    """How many fingerprints came or went, per one of before; 1 where there was none."""
    old, new = set(before), set(now)
    return len(old ^ new) / len(old) if old else 1.0


def label_counts(learned: Iterable[Example]) -> dict[str, dict[str, int]]:
    """By head, how many examples have which label, the commonest first."""
    counts: dict[str, Counter[str]] = {head: Counter() for head in HEADS}
    for example in learned:
        for head, count in counts.items():
            if (label := example.label(head)) is not None:
                count[label] += 1
    return {
        head: dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))
        for head, count in counts.items()
    }


def distance(before: Mapping[str, int], now: Mapping[str, int]) -> float:
    """The total variation distance of two distributions, from counts: 0 the same, 1 disjoint.

    Half the sum of the absolute differences of shares. An empty one is at 1 of any other.
    """
    all_before, all_now = sum(before.values()), sum(now.values())
    if not all_before or not all_now:
        return 0.0 if all_before == all_now else 1.0
    labels = before.keys() | now.keys()
    return 0.5 * sum(
        abs(before.get(label, 0) / all_before - now.get(label, 0) / all_now) for label in labels
    )
