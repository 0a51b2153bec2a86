"""Which songs of one artist and title are one: the rules in plain Python, no code under test."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

Record = Mapping[str, Any]
GENERIC = {"untitled", "intro", "outro", "interlude", "prelude", "skit", "bonus track",
           "hidden track"}  # fmt: skip


def folded(text: str) -> str:
    marked = unicodedata.normalize("NFKD", text)
    text = "".join(c for c in marked if not unicodedata.category(c).startswith("M")).lower()
    text = re.sub(r"\s*[(\[]\s*(feat|ft|featuring)\b[^)\]]*[)\]]", "", text)
    text = re.sub(r"\s+(feat\.|ft\.|featuring\s).*", "", text)
    if behind := re.fullmatch(r"\s*(.*\S)\s*,\s*the\s*", text):
        text = "the " + behind[1]
    text = re.sub("['`\u2018\u2019\u00b4]", "", text.replace("&", " and "))
    letters = (c if unicodedata.category(c)[0] in "LN" else " " for c in text)
    return " ".join("".join(letters).split())


def folded_artist(name: str | None) -> str:
    return folded((name or "").split(";")[0]).removeprefix("the ")[:100]


def match_key(record: Record) -> tuple[str, str] | None:
    artist = folded_artist(record["artist_name"])
    title = folded(record["title"] or "")
    if not artist or not title or title in GENERIC or re.fullmatch(r"(track )?\d+", title):
        return None
    return artist, title[:150]


def ids_of(key: str) -> int:
    for place, ids in enumerate((r"SO[0-9A-Z]{16}", r"[0-9A-Za-z]{22}")):
        if re.fullmatch(ids, key):
            return place
    return 3 if key.startswith("fp-") else 2


def two(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether something says that they are two songs."""
    if ids_of(one["key"]) == ids_of(other["key"]) != 3:
        return True
    a, b = one["duration"], other["duration"]
    if a is not None and b is not None and abs(a - b) > max(2, max(a, b) / 100):
        return True
    a, b = one["tempo"], other["tempo"]
    if a is None or b is None:
        return False
    return not any(abs(a - x) <= 0.03 * max(a, x) for x in (b / 2, b, b * 2))


def matched(by_belief: list[Record], own: Mapping[str, str | None]) -> dict[str, str]:
    """Own key to the key of its song, of all that have another's."""
    records: dict[str, list[Record]] = defaultdict(list)
    for record in by_belief:
        if key := own[record["record_key"]]:
            records[key].append(record)
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for key, told in records.items():
        name = next((name for r in told if (name := match_key(r))), None)
        if name:
            groups[name].append(
                {
                    "key": key,
                    "seq": min(r["seq"] for r in told),
                    **{x: next((r[x] for r in told if r[x] is not None), None)
                       for x in ("duration", "tempo")},
                }
            )  # fmt: skip
    found = {}
    for members in groups.values():
        for cluster in clusters(members):
            song = min(cluster, key=lambda m: (ids_of(m["key"]), m["seq"], m["key"]))
            found |= {m["key"]: song["key"] for m in cluster if m is not song}
    return found


def albums_of_titles(called: Iterable[tuple[str, str, str]]) -> dict[str, tuple[str, str]]:
    """Keys of albums without a release id to the album that they are, and why.

    ``called`` are artist, plain title and key by itself, of every song that has all three.
    """
    named: dict[tuple[str, str], set[str]] = defaultdict(set)
    for artist, title, key in called:
        if name := folded(title)[:150]:
            named[artist, name].add(key)
    found = {}
    for keys in named.values():
        ids = sorted(int(key[2:]) for key in keys if key.startswith("r-"))
        why = "title" if len(ids) == 1 else "title of several"
        found |= {key: (f"r-{ids[0]}", why) for key in keys if ids and key.startswith("fp-")}
    return found


def clusters(members: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The best known first, each goes to the songs that it may be, the nearest in length."""
    found: list[list[dict[str, Any]]] = []
    known = ("duration", "tempo")
    for member in sorted(
        members,
        key=lambda m: (ids_of(m["key"]), sum(m[x] is None for x in known), m["seq"], m["key"]),
    ):
        may_be = [c for c in found if not any(two(member, other) for other in c)]
        if may_be:
            min(may_be, key=lambda c: apart(c, member)).append(member)
        else:
            found.append([member])
    return found


def apart(cluster: list[dict[str, Any]], member: dict[str, Any]) -> float:
    lengths = [m["duration"] for m in cluster if m["duration"] is not None]
    if member["duration"] is None or not lengths:
        return 0
    return min(abs(length - member["duration"]) for length in lengths)
