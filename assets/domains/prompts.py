"""What the model is asked about a domain: bins and texts, never an exact figure.

Belongs here: the data that leave our walls, the templates' version, the prompt's hash. Does not:
asking (``asking``), judging the answer (``review.py``).

Domain and category are anybody's text: they go as values of a JSON object, which the instruction
calls data. The month is not among the data, so that the same figures are never paid for twice.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.domains import bins

if TYPE_CHECKING:
    import jinja2

#: Goes up with any change of a template, of the data or of the parameters.
VERSION = "1"
#: Characters that are kept of texts of others; a domain name has at most 253.
DOMAIN_CHARACTERS = 253
CATEGORY_CHARACTERS = 120
#: Tokens of an answer: some 140 words need a third of that in most languages' alphabets.
MAX_TOKENS = 400

#: What the model reads the figures by, by the names that answers give them.
FIGURES: dict[str, str] = {
    "revenue": "revenue in dollars",
    "revenue_direction": "revenue against the month before",
    "sessions": "sessions",
    "sessions_direction": "sessions against the month before",
    "conversion_rate": "conversion rate in percent",
    "conversion_rate_direction": "conversion rate against the month before",
    "order_value": "order value in dollars",
}
OF_CATEGORY: dict[str, str] = {
    "median_revenue": "category median revenue in dollars",
    "largest_revenue": "category largest revenue in dollars",
    "median_sessions": "category median sessions",
    "highest_sessions": "category highest sessions",
    "conversion_rate_10": "category conversion rate in percent, 10th percentile",
    "conversion_rate_90": "category conversion rate in percent, 90th percentile",
    "order_value_10": "category order value in dollars, 10th percentile",
    "order_value_90": "category order value in dollars, 90th percentile",
}

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class SummaryPrompt:
    """One domain's question. ``facts``, the data in it, are what its answer is judged by."""

    domain: str
    category: str | None
    prompt_hash: str
    request: Mapping[str, Any]
    facts: Mapping[str, str]


def summary_prompt(row: Mapping[str, Any], model: str) -> SummaryPrompt:
    """The prompt of a row of tables.FEATURES, of its domain's main category."""
    data = prompt_data(row)
    request = {
        "model": model,
        "messages": [
            {"role": "system", "content": instruction(with_category="category" in data)},
            {"role": "user", "content": json.dumps(data, ensure_ascii=False)},
        ],
        "max_completion_tokens": MAX_TOKENS,
        "store": False,
    }
    return SummaryPrompt(
        row["domain"],
        data.get("category"),
        prompt_hash(request),
        request,
        data,
    )


def prompt_data(row: Mapping[str, Any]) -> dict[str, str]:
    """What of a row may leave our walls, by the name that the model reads. Unknown ones are out."""
    category = readable(row["category"].replace("_", " "), CATEGORY_CHARACTERS)
    own: dict[str, str | None] = {
        "revenue": row["binned_revenue"],
        "revenue_direction": row["revenue_direction"],
        "sessions": row["binned_sessions"],
        "sessions_direction": row["sessions_direction"],
        "conversion_rate": row["binned_conv_rate"],
        "conversion_rate_direction": row["conv_rate_direction"],
        "order_value": bins.told_order_value(row["aov"]),
    }
    of_category: dict[str, str | None] = {}
    if category:
        of_category = {
            "median_revenue": bins.magnitude(row["cat_median_revenue"]),
            "largest_revenue": bins.magnitude(row["cat_high_revenue"]),
            "median_sessions": bins.magnitude(row["cat_median_sessions"]),
            "highest_sessions": bins.magnitude(row["cat_high_sessions"]),
            "conversion_rate_10": bins.conversion_rate(row["cat_percentile_10_conv_rate"]),
            "conversion_rate_90": bins.conversion_rate(row["cat_percentile_90_conv_rate"]),
            "order_value_10": bins.told_order_value(row["cat_percentile_10_aov"]),
            "order_value_90": bins.told_order_value(row["cat_percentile_90_aov"]),
        }
    data: dict[str, str | None] = {
        "domain": readable(row["domain"], DOMAIN_CHARACTERS),
        "category": category or None,
        **{FIGURES[name]: value for name, value in own.items()},
        **{OF_CATEGORY[name]: value for name, value in of_category.items()},
    }
    return {name: value for name, value in data.items() if value is not None}


def readable(text: str, characters: int) -> str:
    """A text of somebody's as one line: NFKC, without control characters, cut."""
    plain = unicodedata.normalize("NFKC", text)
    kept = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in plain)
    return " ".join(kept.split())[:characters].rstrip()


@cache
def _templates() -> jinja2.Environment:
    import jinja2

    # Plain text for a model: nothing here is HTML.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def instruction(*, with_category: bool) -> str:
    """The system message."""
    name = "with_category.txt.jinja" if with_category else "without_category.txt.jinja"
    return _templates().get_template(name).render()


def prompt_hash(request: Mapping[str, Any]) -> str:
    """SHA-256, hex, of the template's version, the model, its parameters and the data."""
    canonical = json.dumps({"version": VERSION, **request}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
