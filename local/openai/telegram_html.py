"""Telegram's HTML: which tags there are, and what is shown.

Belongs here: the parsing of a message. Does not: sending (`local.openai.telegram`).
https://core.telegram.org/bots/api#html-style
"""

from __future__ import annotations

import html
import re

_TAGS = frozenset(
    (
        "b", "strong", "i", "em", "u", "ins", "s", "strike", "del", "span", "tg-spoiler", "a",
        "tg-emoji", "code", "pre", "blockquote",
    )
)  # fmt: skip
_ENTITY = re.compile(r"&(lt|gt|amp|quot|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]*)?([^<>]*)(>?)")


class BadEntitiesError(Exception):
    """The text is not Telegram's HTML; the message is as Telegram writes it."""


def shown(text: str) -> str:
    """The text without its tags. Raises BadEntitiesError for what Telegram can't parse."""
    parts, opened, at = [], list[str](), 0
    while (start := text.find("<", at)) >= 0:
        parts.append(text[at:start])
        found = _TAG.match(text, start)
        offset = len(text[:start].encode("utf-8", "surrogatepass"))
        if found is None:
            raise BadEntitiesError(f'Unsupported start tag "" at byte offset {offset}')
        _step(found, opened, offset)
        at = found.end()
    if opened:
        raise BadEntitiesError(f'Can\'t find end tag corresponding to start tag "{opened[-1]}"')
    parts.append(text[at:])
    return "".join(_ENTITY.sub(lambda entity: html.unescape(entity[0]), part) for part in parts)


def _step(found: re.Match[str], opened: list[str], offset: int) -> None:
    """Open or close a tag."""
    closing, name, rest, end = found.groups()
    tag = (name or "").lower()
    if not end:
        raise BadEntitiesError(f"Unclosed start tag at byte offset {offset}")
    if closing:
        if not opened:
            raise BadEntitiesError(f"Unexpected end tag at byte offset {offset}")
        if tag not in {opened[-1], ""}:
            expected = f'expected "</{opened[-1]}>", found "</{tag}>"'
            raise BadEntitiesError(f"Unmatched end tag at byte offset {offset}, {expected}")
        opened.pop()
        return
    if tag not in _TAGS:
        raise BadEntitiesError(f'Unsupported start tag "{tag}" at byte offset {offset}')
    if tag == "span" and "tg-spoiler" not in rest:
        raise BadEntitiesError(f'Tag "span" must have class "tg-spoiler" at byte offset {offset}')
    opened.append(tag)
