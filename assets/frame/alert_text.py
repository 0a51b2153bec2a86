"""Messages to people, in Telegram's HTML and without any: escaped, and as long as it takes.

Belongs here: escaping, cutting, the shape of a message. Does not: what it is about, sending it.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from resources.polite_http import clean_text

#: Characters of a message, as Telegram counts them once tags and entities are parsed: in UTF-16.
#: Ours are counted with them, which is never less.
LONGEST = 4096
LONGEST_TITLE = 200
#: Of a storm so many are named.
NAMED = 5

_PIECE = re.compile(r"<(/?)([a-zA-Z-]+)[^<>]*>|&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z]+);|.", re.DOTALL)
_TAG = re.compile(r"</?[a-zA-Z-]+[^<>]*>")
_CUT = "…"
_MARKS = {"info": "✅", "warning": "⚠️", "error": "❌"}


def escaped(text: str) -> str:
    """Any text as Telegram's HTML; what no database or message can hold is left out."""
    return html.escape(clean_text(text), quote=True)


def shortened(text: str, characters: int) -> str:
    """Plain text of at most so many characters."""
    cleaned = clean_text(text)
    return cleaned if len(cleaned) <= characters else f"{cleaned[: characters - 1]}{_CUT}"


def length(text: str) -> int:
    """UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, longest: int) -> str:
    """The HTML, of at most ``longest`` units; what is cut ends in "…" and has its tags closed.

    ``text`` is well-formed. ``longest`` leaves room for the closing tags of its deepest place.
    """
    if length(text) <= longest:
        return text
    opened: list[str] = []
    size = kept_to = 0
    closing = ""
    for piece in _PIECE.finditer(text):
        size += length(piece[0])
        if piece[2] and piece[1]:
            opened.pop()
        elif piece[2]:
            opened.append(piece[2])
        ends = "".join(f"</{tag}>" for tag in reversed(opened))
        # Grows from piece to piece: what a closing tag adds, its absence here takes away.
        if size + length(_CUT + ends) > longest:
            break
        kept_to, closing = piece.end(), ends
    return f"{text[:kept_to]}{_CUT}{closing}"


def message(severity: str, title: str, body_html: str, link: str | None) -> str:
    """A whole message: title and link always, of the body what there is room for."""
    head = f"{_MARKS[severity]} <b>{escaped(shortened(title, LONGEST_TITLE))}</b>\n"
    foot = f'\n<a href="{escaped(link)}">Show the run</a>' if link else ""
    return head + cut(body_html, LONGEST - length(head) - length(foot)) + foot


def plain(title: str, body_html: str, link: str | None) -> str:
    """The whole message without markup, for channels that have their own."""
    body = html.unescape(_TAG.sub("", body_html))
    return "\n".join(part for part in (clean_text(title), body.strip(), link) if part)


def storm(alerts: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """Title and body of one message for many, each given by its severity and title."""
    counts = Counter(severity for severity, _ in alerts)
    shares = ", ".join(
        f"{counts[name]} {name}" for name in ("error", "warning", "info") if counts[name]
    )
    named = [f"{_MARKS[severity]} {escaped(title)}" for severity, title in _worst(alerts)[:NAMED]]
    rest = len(alerts) - len(named)
    more = [f"and {rest} more"] if rest else []
    return f"{len(alerts)} alerts at once: {shares}", "\n".join([*named, *more])


def _worst(alerts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Errors first, each kind in its order."""
    order = {"error": 0, "warning": 1, "info": 2}
    return sorted(alerts, key=lambda alert: order[alert[0]])
