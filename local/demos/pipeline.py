"""What the demo needs of every pipeline, and the ledger's figures that all of them share.

Belongs here: the protocol and the ledger queries. Does not: anything of one pipeline.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from local.demos.asking import QueryService
from resources.postgres import PostgresResource

FINISHED = ("loaded", "loaded_with_rejects")

_TOTALS = """
SELECT count(*), count(outcome), coalesce(sum(rows_read), 0), coalesce(sum(rows_written), 0),
       coalesce(sum(rows_unchanged), 0), coalesce(sum(rows_superseded), 0),
       coalesce(sum(rows_rejected), 0)
FROM landing.object_version
WHERE bucket = %(bucket)s
  AND (key, version) IN (SELECT * FROM unnest(%(keys)s::text[], %(versions)s::text[]))
"""

_BATCHES = """
SELECT DISTINCT b.batch_id, b.state, b.error
FROM landing.object_version o JOIN landing.batch b USING (batch_id)
WHERE o.bucket = %(bucket)s
  AND (o.key, o.version) IN (SELECT * FROM unnest(%(keys)s::text[], %(versions)s::text[]))
"""

_SINKS = """
SELECT sink, coalesce(sum(rows_written), 0)::bigint, coalesce(sum(seconds), 0)
FROM landing.batch_sink WHERE batch_id = ANY(%(batches)s) GROUP BY sink ORDER BY sink
"""


@dataclass(frozen=True, slots=True)
class Landed:
    """An object version that the demo put into a bucket."""

    bucket: str
    key: str
    version: str


@dataclass(frozen=True, slots=True)
class SinkFigures:
    """What one sink got of the demo's batches."""

    rows_written: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The ledger's counts over the demo's objects; ``accepted`` is read less rejected.

    ``waiting`` counts what else has to happen, until all of it is 0; ``more`` is shown below.
    """

    objects: int
    processed: int
    read: int
    written: int
    unchanged: int
    superseded: int
    rejected: int
    batches: Mapping[str, str]
    errors: Sequence[str]
    sinks: Mapping[str, SinkFigures]
    waiting: Mapping[str, int] = field(default_factory=dict)
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        """Rows that were not rejected."""
        return self.read - self.rejected

    @property
    def finished(self) -> bool:
        """Whether every object is processed, every batch loaded, and nothing else waited for."""
        return (
            self.objects > 0
            and self.processed == self.objects
            and all(state in FINISHED for state in self.batches.values())
            and not any(self.waiting.values())
        )


def ledger_figures(postgres: PostgresResource, landed: Sequence[Landed]) -> Figures:
    """The counts over ``landed``, all of one bucket."""
    arguments: dict[str, Any] = {
        "bucket": landed[0].bucket,
        "keys": [o.key for o in landed],
        "versions": [o.version for o in landed],
    }
    with postgres.connect() as connection:
        totals = connection.execute(_TOTALS, arguments).fetchone() or (0,) * 7
        batches = connection.execute(_BATCHES, arguments).fetchall()
        sinks = connection.execute(_SINKS, {"batches": [b[0] for b in batches]}).fetchall()
    return Figures(
        objects=len(landed),
        processed=int(totals[1]),
        read=int(totals[2]),
        written=int(totals[3]),
        unchanged=int(totals[4]),
        superseded=int(totals[5]),
        rejected=int(totals[6]),
        batches={b[0]: b[1] for b in batches},
        errors=[f"{b[0]}: {b[2]}" for b in batches if b[2] and b[1] not in FINISHED],
        sinks={s[0]: SinkFigures(int(s[1]), float(s[2])) for s in sinks},
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """One real answer as lines of text; ``problems`` is how it differs from a recount."""

    lines: Sequence[str]
    problems: Sequence[str] = ()


class PipelineDemo(ABC):
    """One pipeline's part of the demo."""

    name: ClassVar[str]

    def __init__(self, env: Mapping[str, str], data_dir: Path | None, work_dir: Path) -> None:
        self.env = env
        self.data_dir = data_dir
        self.work_dir = work_dir

    @abstractmethod
    def load(self) -> Sequence[Landed]:
        """Put the real data, or generated samples, where its users would put it."""

    def then(self) -> Sequence[Landed]:
        """Put what comes after all of that is processed; nothing when there is no more."""
        return ()

    @abstractmethod
    def figures(self, landed: Sequence[Landed]) -> Figures:
        """How far the ledger has come with what was landed."""

    @abstractmethod
    def verify(self, figures: Figures) -> Sequence[str]:
        """What is not as it should be, recounted in the sinks; empty when all is right."""

    @abstractmethod
    def answer(self, service: QueryService) -> Answer:
        """What the query service says of this pipeline, and what a recount says otherwise.

        Raises RefusedError.
        """
