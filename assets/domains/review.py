"""Whether a summary is what was asked for: its form, its names, and every number in it.

Belongs here: rules over one answer and the data of its prompt. Does not: asking again, or what
becomes of a rejected one (``asking``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from decimal import Decimal

from assets.domains.asking.outcome import Problem
from assets.domains.reasons import FEWEST_WORDS, MOST_WORDS

_SCALES = {
    "k": 3, "thousand": 3, "m": 6, "million": 6, "b": 9, "bn": 9, "billion": 9,
    "t": 12, "tn": 12, "trillion": 12,
}  # fmt: skip
_NUMBER = re.compile(
    r"(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)"
    r"(?:\s?(k|m|b|bn|t|tn|thousand|million|billion|trillion)\b)?",
    re.IGNORECASE,
)
#: Figures without a digit. "One", and what counts in order, are rarely any.
_SPELLED = re.compile(
    r"\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|\w+teen|twenty|thirty|forty"
    r"|fifty|sixty|seventy|eighty|ninety|hundreds?|thousands?|millions?|billions?|trillions?|dozens?"
    r"|half|halves|double[ds]?|doubling|triple[ds]?|tripling|twice|thrice|quarters?|twofold)\b",
    re.IGNORECASE,
)
_BULLET = re.compile(r"(?:^|\s)(?:[•‣◦▪*]\s|-\s(?=\S)|\d+[.)]\s+(?=[A-Z]))")
_MARKUP = re.compile(r"<[a-zA-Z/!][^>]*>|\*\*|__|`|^#+\s|\[[^\]]*\]\([^)]*\)")
_URL = re.compile(r"\b(?:[a-z][a-z0-9+.-]*://|www\.)", re.IGNORECASE)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.\w")
_DOMAIN = re.compile(
    r"(?<![\w@.-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}(?![\w-])", re.IGNORECASE
)
#: Whose digits are no figures.
_NAMES = frozenset({"domain", "category"})
_INDUSTRY = re.compile(r"\b(?:category|industry)\b", re.IGNORECASE)

Facts = Mapping[str, str]


def problem(facts: Facts, text: str) -> Problem | None:
    """The first rule that the text breaks, or None. ``facts`` are ``prompts.prompt_data``."""
    for code, broken in RULES.items():
        if (correction := broken(facts, text)) is not None:
            return Problem(code, correction)
    return None


def _lines(_: Facts, text: str) -> str | None:
    return "Write a single line." if len(text.strip().splitlines()) > 1 else None


def _words(_: Facts, text: str) -> str | None:
    words = len(text.split())
    if FEWEST_WORDS <= words <= MOST_WORDS:
        return None
    return f"Write {FEWEST_WORDS} to {MOST_WORDS} words; those were {words}."


def _found(pattern: re.Pattern[str], correction: str) -> Callable[[Facts, str], str | None]:
    def rule(facts: Facts, text: str) -> str | None:
        return correction if pattern.search(_without_names(facts, text)) else None

    return rule


def _email(_: Facts, text: str) -> str | None:
    # Of the domain's own name, too.
    return "Write no e-mail address." if _EMAIL.search(text) else None


def _names_domain(facts: Facts, text: str) -> str | None:
    there = _name(facts["domain"]).search(text)
    return None if there else "Name the domain exactly as it stands in the data."


def _other_domain(facts: Facts, text: str) -> str | None:
    other = _DOMAIN.search(_without_names(facts, text))
    return "Name no other domain than the one in the data." if other else None


def _names_category(facts: Facts, text: str) -> str | None:
    category = facts.get("category")
    if category is None:
        return None
    # A model rarely writes the whole path of "Home and Garden/Furniture": its last part will do.
    there = _name(_short(category)).search(text)
    return None if there else "Name the category exactly as it stands in the data."


def _short(category: str) -> str:
    """The last part of its path that says anything."""
    return next((part for part in map(str.strip, category.split("/")[::-1]) if part), category)


def _invents_category(facts: Facts, text: str) -> str | None:
    if "category" in facts or not _INDUSTRY.search(_without_names(facts, text)):
        return None
    return "The category is not known: don't write the words category and industry."


def _foreign(facts: Facts, text: str) -> str | None:
    figures = {name: value for name, value in facts.items() if name not in _NAMES}
    given = numbers(" ".join(part for figure in figures.items() for part in figure))
    told = unicodedata.normalize("NFKC", _without_names(facts, text))
    foreign = [str(number) for number in numbers(told) if number not in given]
    foreign += _SPELLED.findall(_NUMBER.sub(" ", told))
    if not foreign:
        return None
    return f"Use only numbers of the data, written as there; {', '.join(foreign)} is not in it."


def numbers(text: str) -> list[Decimal]:
    """The numbers of a text by value: 1M, 1 million, 1,000,000 are the same."""
    # Ranges such as 1M–2M or 2.50-3.00 are two numbers.
    spread = re.sub(r"(?<=\w)[-–—](?=\d)", " ", text)
    # Digits that stick to letters, as in 10th or B2B, are numbers too, or they would pass unseen.
    ordinals = re.sub(r"(?<=\d)(?=(?:st|nd|rd|th)\b)", " ", spread)
    apart = re.sub(r"(?<=[^\W\d_])(?=\d)", " ", ordinals)
    return [
        Decimal(figure.replace(",", "")).scaleb(_SCALES.get(scale.lower(), 0)).normalize()
        for figure, scale in _NUMBER.findall(apart)
    ]


def _without_names(facts: Facts, text: str) -> str:
    """The text without domain and category, whose own digits and dots are no breach."""
    category = facts.get("category", "")
    names = (facts["domain"], category, _short(category))
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = _name(name).sub(" ", text)
    return text


def _name(name: str) -> re.Pattern[str]:
    """The name as it stands alone: shop.com is neither in another-shop.com nor in shop.com.au."""
    return re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", re.IGNORECASE)


#: By the reason's code, in the order in which they are asked.
RULES: dict[str, Callable[[Facts, str], str | None]] = {
    "several_lines": _lines,
    "word_count": _words,
    "bullets": _found(_BULLET, "Write prose, without bullet points."),
    "markup": _found(_MARKUP, "Write plain text, without markup."),
    "web_address": _found(_URL, "Write no web address."),
    "email_address": _email,
    "domain_missing": _names_domain,
    "another_domain": _other_domain,
    "category_missing": _names_category,
    "category_invented": _invents_category,
    "foreign_number": _foreign,
}
