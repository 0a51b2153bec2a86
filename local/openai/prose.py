"""A paragraph over the JSON object of a prompt, as a model would write it: no figure is made up.

Belongs here: finding the object, the sentences. Does not: OpenAI's shapes (`local.openai.answer`).
The object has a ``domain``, may have a ``category``, and any other fields: each becomes a clause of
its key's words and its value, as both are written. What is null is not mentioned.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
from collections.abc import Iterator, Mapping
from typing import Any

_LEAST_WORDS, _MOST_WORDS = 85, 125
_LONGEST_VALUE = 12
_DIGIT = re.compile(r"\d")
_WORDS = re.compile(r"[_\W]+|(?<=[a-z])(?=[A-Z])")
_CATEGORY = "category"

_OPENINGS = (
    "{domain} is an online shop{of} whose reported month is summed up here.",
    "{domain} sells online{of}, and its figures of the month are read together here.",
    "This is a short look at {domain}, an online shop{of}, over the reported month.",
)
_OF = ", listed under the category {category},"
_LEADS = (
    "The data give {clauses}.",
    "At the same time we find {clauses}.",
    "Beside that, the report shows {clauses}.",
    "Its profile is rounded off by {clauses}.",
    "The same source lists {clauses}.",
)
#: Said of any domain; no number, no name.
_FILLERS = (
    "All values are ranges and not exact amounts, so they describe a level and no single result.",
    "Read side by side they tell how much the shop sells, how often people buy, and what it takes.",
    "A reader should compare them with those of similar shops before drawing conclusions.",
    "What comes next cannot be seen from them, for they describe what was measured and no more.",
    "Season, prices and advertising may each have had their part, and the values tell none apart.",
    "They are no judgement of the goods, nor of the people who sell them.",
)


def facts(text: str) -> dict[str, Any] | None:
    """The first JSON object in ``text`` that names a domain; numbers stay as they are written."""
    decoder = json.JSONDecoder(parse_float=str, parse_int=str, strict=False)
    start = text.find("{")
    while start >= 0:
        try:
            found, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and isinstance(found.get("domain"), str):
            return found
        start = text.find("{", start + 1)
    return None


def summary(given: Mapping[str, Any], flaw: str = "") -> str:
    """One line of 60 to 140 words; ``flaw`` is a kind of ``local.fault_plan.BAD_ANSWERS``."""
    text = json.dumps(given, sort_keys=True, ensure_ascii=False)
    chosen = random.Random(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    domain = "elsewhere.example" if flaw == "other_domain" else _line(given["domain"])
    category = _line(given.get(_CATEGORY) or "")
    opening = chosen.choice(_OPENINGS)
    of = _OF.format(category=category) if category else ""
    sentences = [opening.replace("{of}", of).replace("{domain}", domain).replace(",,", ",")]
    if flaw == "wrong_number":
        sentences.append(f"Its shelves hold {_strange(text)} articles.")
    sentences += _told(given, _MOST_WORDS - _count(sentences), chosen)
    fillers = chosen.sample(_FILLERS, len(_FILLERS))
    while _count(sentences) < _LEAST_WORDS and fillers:
        sentences.append(fillers.pop())
    if flaw == "bullets":
        return "\n".join(f"- {sentence}" for sentence in sentences)
    return " ".join(sentences)


def flawed(text: str, flaw: str) -> str:
    """An answer of another form with the flaw of a bad answer."""
    match flaw:
        case "wrong_number":
            return f"{text} In all {_strange(text)}."
        case "bullets":
            return "\n".join(f"- {part}" for part in text.split("; "))
        case "other_domain":
            return f"elsewhere.example: {text}"
    return text


def _told(given: Mapping[str, Any], words: int, chosen: random.Random) -> Iterator[str]:
    """Sentences of two or three clauses each, as long as there are ``words`` left."""
    clauses = [_clause(key, value) for key, value in _fields(given)]
    leads = itertools.cycle(chosen.sample(_LEADS, len(_LEADS)))
    while clauses:
        size = chosen.choice((2, 3))
        taken, clauses = clauses[:size], clauses[size:]
        sentence = next(leads).format(clauses=_joined(taken)) if taken else ""
        words -= len(sentence.split())
        if words < 0:
            return
        yield sentence


def _fields(given: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, str]]:
    """Every value that can be told, with its key in words; domain and category are told before."""
    for key, value in given.items():
        if not under and key in {"domain", _CATEGORY}:
            continue
        name = f"{under} {' '.join(filter(None, _WORDS.split(key))).lower()}".strip()
        if isinstance(value, dict):
            yield from _fields(value, name)
            continue
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, list | dict) for one in values):
            continue
        text = ", ".join(_line(_spelled(one)) for one in values if one is not None)
        if text and name and len(text.split()) <= _LONGEST_VALUE:
            yield name, text


def _clause(key: str, value: str) -> str:
    # A figure is followed by a word: with a full stop behind it, it would read as another one.
    return f"{value} for {key}" if _DIGIT.search(value) else f"a {key} that is {value}"


def _joined(clauses: list[str]) -> str:
    *most, last = clauses
    return f"{', '.join(most)} and {last}" if most else last


def _spelled(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _line(text: str) -> str:
    return " ".join(text.split())


def _count(sentences: list[str]) -> int:
    return sum(len(sentence.split()) for sentence in sentences)


def _strange(text: str) -> str:
    """A number that is not in ``text``."""
    return next(str(number) for number in itertools.count(4713, 37) if str(number) not in text)
