"""Which songs of one artist and title are one: pure, of a group of them at a time.

Belongs here: what contradicts, what confirms, which key the song has, and an operator's word. Does
not: who is in a group (``identity.py``), or what of a name is compared (``folding.py``).

The outcome is a function of the group, not of the order in which its members came.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from assets.music.registry.silver import MatchReason

#: Seconds, or the share of the longer one, by which two lengths of one recording may differ: files
#: cut silence, and round.
DURATION_SECONDS = 2.0
DURATION_SHARE = 0.01
#: Share by which two estimates of one tempo may differ, after doubling or halving: estimates take
#: one beat in two, or two for one.
TEMPO_SHARE = 0.03

#: Whose ids tell songs apart: two of one system are two songs. The first has the better keys.
_SYSTEMS = (re.compile(r"SO[0-9A-Z]{16}"), re.compile(r"[0-9A-Za-z]{22}"))
_NO_ID = "fp-"

CONFIDENCE: dict[MatchReason, float] = {
    "decided": 1.0,
    "duration and tempo": 0.95,
    "duration": 0.9,
    "tempo": 0.8,
    "name": 0.6,
    "name of several": 0.4,
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """What is known by one key of its own: a song id, else a name with its album.

    ``first_seq`` is the ledger's place of the first file that tells of it; ``duration`` in seconds,
    ``tempo`` in beats per minute, None where no file says.
    """

    key: str
    first_seq: int
    duration: float | None = None
    tempo: float | None = None

    @property
    def system(self) -> int:
        """Whose id it is: places of _SYSTEMS, then those of nobody known, then no id."""
        if self.key.startswith(_NO_ID):
            return len(_SYSTEMS) + 1
        return next(
            (place for place, ids in enumerate(_SYSTEMS) if ids.fullmatch(self.key)), len(_SYSTEMS)
        )

    @property
    def has_id(self) -> bool:
        """Whether it is known by an id."""
        return self.system <= len(_SYSTEMS)


@dataclass(frozen=True, slots=True)
class Match:
    """That what is known by ``key`` is the song ``song_key``, and why.

    ``evidence`` has what both have of duration and tempo: this one's, the other's.
    """

    key: str
    song_key: str
    reason: MatchReason
    evidence: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def confidence(self) -> float:
        """From 0 to 1, by the reason."""
        return CONFIDENCE[self.reason]


Pair = tuple[str, str]


def contradiction(one: Candidate, other: Candidate) -> str | None:
    """What says that they are two: ``ids``, ``duration`` or ``tempo``."""
    if one.has_id and other.has_id and one.system == other.system and one.key != other.key:
        return "ids"
    if _lengths_differ(one.duration, other.duration):
        return "duration"
    if _tempos_differ(one.tempo, other.tempo):
        return "tempo"
    return None


def matches(
    group: Iterable[Candidate], same: Collection[Pair] = (), apart: Collection[Pair] = ()
) -> list[Match]:
    """Members that are another one's song, by which key, and why.

    ``same`` and ``apart`` are pairs of keys that an operator has decided on; the first beat every
    contradiction, and the second the first where both are said of one pair.
    """
    members = sorted(group, key=_fullest_first)
    never = {frozenset(pair) for pair in apart}
    always = {frozenset(pair) for pair in same} - never
    clusters: list[list[Candidate]] = []
    decided = {key for pair in always for key in pair}
    ambiguous: set[str] = set()
    for member in sorted(members, key=lambda one: one.key not in decided):
        open_to = [c for c in clusters if _takes(c, member, always, never)]
        told = [c for c in open_to if any(frozenset({member.key, o.key}) in always for o in c)]
        if told:
            home = told[0]
            for other in told[1:]:
                if not any(frozenset({a.key, b.key}) in never for a in home for b in other):
                    home += other
                    clusters.remove(other)
            home.append(member)
        elif open_to:
            if len(open_to) > 1 and member.duration is None and member.tempo is None:
                ambiguous.add(member.key)
            min(open_to, key=lambda cluster: _distance(cluster, member)).append(member)
        else:
            clusters.append([member])
    return [match for cluster in clusters for match in _told(cluster, always, ambiguous)]


def _told(
    cluster: Sequence[Candidate], always: Collection[frozenset[str]], ambiguous: Collection[str]
) -> list[Match]:
    song = min(cluster, key=lambda one: (one.system, one.first_seq, one.key))
    found = []
    for member in sorted(cluster, key=lambda one: one.key):
        if member.key == song.key:
            continue
        others = [one for one in cluster if one.key != member.key]
        evidence = {}
        for name in ("duration", "tempo"):
            value = getattr(member, name)
            theirs = next((v for o in others if (v := getattr(o, name)) is not None), None)
            if value is not None and theirs is not None:
                evidence[name] = (value, theirs)
        if any(frozenset({member.key, other.key}) in always for other in others):
            reason: MatchReason = "decided"
        elif evidence:
            reason = _REASONS[frozenset(evidence)]
        else:
            reason = "name of several" if member.key in ambiguous else "name"
        found.append(Match(member.key, song.key, reason, evidence))
    return found


_REASONS: dict[frozenset[str], MatchReason] = {
    frozenset({"duration", "tempo"}): "duration and tempo",
    frozenset({"duration"}): "duration",
    frozenset({"tempo"}): "tempo",
}


def _takes(
    cluster: Sequence[Candidate],
    member: Candidate,
    always: Collection[frozenset[str]],
    never: Collection[frozenset[str]],
) -> bool:
    pairs = [(other, frozenset({member.key, other.key})) for other in cluster]
    if any(pair in never for _, pair in pairs):
        return False
    if any(pair in always for _, pair in pairs):
        return True
    return all(contradiction(member, other) is None for other, _ in pairs)


def _fullest_first(one: Candidate) -> tuple[object, ...]:
    known = (one.duration is not None) + (one.tempo is not None)
    return (one.system, -known, one.first_seq, one.key)


def _distance(cluster: Sequence[Candidate], member: Candidate) -> float:
    lengths = [one.duration for one in cluster if one.duration is not None]
    if member.duration is None or not lengths:
        return 0.0
    return min(abs(length - member.duration) for length in lengths)


def _lengths_differ(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return False
    return abs(one - other) > max(DURATION_SECONDS, DURATION_SHARE * max(one, other))


def _tempos_differ(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return False
    return all(
        abs(one - other * times) > TEMPO_SHARE * max(one, other * times) for times in (0.5, 1, 2)
    )
