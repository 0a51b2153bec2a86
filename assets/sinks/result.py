"""What every sink of every pipeline reports: what it wrote, and what it found verifying that.

Belongs here: the two results. Does not: any sink.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

#: Ids named in a verification's sample.
SAMPLE = 10

#: The check of a sink: all winning rows of the batch are there, with the same content hash.
HOLDS_BATCH = "holds_the_batch"


@dataclass(frozen=True, slots=True)
class SinkResult:
    """Counts of one sink for one batch.

    ``unchanged`` of the ``rows_written`` were there already, equal. ``deleted`` are entities that
    hold nothing any more. ``details`` are further counts of the one sink. ``vouched`` when the
    sink itself has counted, as it committed them, that all rows were made anew: nothing is left to
    read back.
    """

    rows_written: int
    unchanged: int
    deleted: int
    seconds: float
    details: Mapping[str, int | float] = field(default_factory=dict)
    vouched: bool = False

    @property
    def rows_per_second(self) -> float:
        """0 when nothing was measured."""
        return self.rows_written / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Verification:
    """How many ids were expected, and which were not found as expected.

    ``missing`` are not there, ``differing`` have another hash, ``unexpected`` are there but
    should not be. ``sample`` names a few of them.
    """

    expected: int = 0
    missing: int = 0
    differing: int = 0
    unexpected: int = 0
    sample: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the sink holds exactly what was expected of it."""
        return not (self.missing or self.differing or self.unexpected)

    def problem(self, what: str) -> str:
        """In words, of a sink that does not hold what it should."""
        return (
            f"{what}: of {self.expected} rows {self.missing} are missing, {self.differing} differ,"
            f" {self.unexpected} should not be there: {', '.join(self.sample)}"
        )

    def plus(self, other: Verification) -> Verification:
        """Both together."""
        return Verification(
            self.expected + other.expected,
            self.missing + other.missing,
            self.differing + other.differing,
            self.unexpected + other.unexpected,
            (*self.sample, *other.sample)[:SAMPLE],
        )


def compared(
    expected: Mapping[str, str], found: Mapping[str, str], absent: Collection[str] = ()
) -> Verification:
    """Expected hashes by id against those found; ids of ``absent`` must not have been found."""
    missing = [key for key in expected if key not in found]
    differing = [key for key, value in expected.items() if found.get(key, value) != value]
    unexpected = [key for key in absent if key in found]
    sample = tuple([*missing, *differing, *unexpected][:SAMPLE])
    return Verification(len(expected), len(missing), len(differing), len(unexpected), sample)
