"""What of a lyrics service's text is no lyrics: credits before them, and what stands in for them.

Belongs here: the wordings, and where they were seen. Does not: how a service is asked
(``lyrics_service``). Lists are short on purpose: only what is the whole text, or its first line, is
taken for the service's own words, so that no song is lost that sings of lyrics.
"""

from __future__ import annotations

import re

#: The first line of what lyrics.ovh has from paroles.net: a heading of that site's pages.
_CREDITS = (re.compile(r"paroles de la chanson [^\n]*\bpar\b[^\n]*(?:\n|$)", re.IGNORECASE),)

#: A text that is one of these has no lyrics. Licensing: LyricWiki's API in full, as in
#: https://github.com/quodlibet/quodlibet/issues/273, LyricFind's on many sites. Instrumental: the
#: template of LyricWiki and the tag of Genius, LRCLIB and others.
_PLACEHOLDERS = tuple(
    re.compile(wording, re.IGNORECASE | re.DOTALL)
    for wording in (
        (
            r"(?:unfortunately,? |sorry,? )?we(?: are|(?:'|\u2019)re) not (?:currently )?"
            r"(?:authori[sz]ed|licen[sc]ed|allowed) to (?:display|show) (?:these|the)(?: full)?"
            r" lyrics\b.*"
        ),
        r"unfortunately,? due to licensing restrictions\b.*",
        (
            r"(?:sorry,? |we(?:'|\u2019)re sorry,? )?(?:no lyrics (?:found|available)"
            r"|lyrics (?:were |are )?(?:not|currently not|un)[ -]?(?:found|available)"
            r"(?: for this song)?)[ .!]*"
        ),
        (
            r"[\[({]*\s*(?:this (?:song|track) is (?:an )?)?instrumental(?: track| song)?\s*"
            r"[\])}]*[ .!]*"
        ),
    )
)
#: Above this, a text is no notice.
_LONGEST_NOTICE = 1_000


def lyrics_in(text: str) -> str | None:
    """The lyrics without credits before them; None where a placeholder, or nothing, is left.

    ``text`` has lines ended by LF and is stripped.
    """
    for credit in _CREDITS:
        if found := credit.match(text):
            text = text[found.end() :].strip()
    if len(text) <= _LONGEST_NOTICE and any(one.fullmatch(text) for one in _PLACEHOLDERS):
        return None
    return text or None
