"""A pipeline, declared once: what job, sensor, checks, maintenance and commands follow from.

Belongs here: the declarations and the Dagster keywords that follow from them. Does not: behaviour
(``step.py``), any pipeline, any store. Assets stay ``@dg.asset`` functions with typed resources:
``**ORDERS.sink("order_rows", …)`` is a dictionary of Dagster's own keywords, to be read, printed
and overridden.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypedDict, cast

import dagster as dg

from assets.frame.checks import REJECTED_SHARE, ROWS_BALANCE, validation_checks
from assets.frame.execution import WRITER_TAG
from assets.frame.retry_policy import RETRY
from assets.frame.settings import LandingPlaces, Settings
from assets.sinks.result import HOLDS_BATCH
from landing.arrival.identity import ObjectVersion, StoreKind
from landing.arrival.source import Source
from landing.batch.reasons import RejectReason

if TYPE_CHECKING:
    from datetime import datetime

    import psycopg

    from assets.frame.alert_channels import Alert
    from landing.batch.object_reading import Reader
    from landing.batch.records import RecordTable
    from landing.batch.validation import Rules
    from landing.stores.base import ObjectStore

# Known to be beta; the version is pinned, and tests hold what is used of it.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)

HOLDS = "Every winning row of the batch, with the same content hash."

_SCHEMES: Mapping[StoreKind, str] = {"gcs": "gs", "s3": "s3", "minio": "s3"}


class AssetKeywords(TypedDict, total=False):
    """Those of ``@dg.asset`` that follow from a declaration or are given beside it."""

    key: dg.AssetKey
    deps: Sequence[dg.AssetKey | dg.AssetDep]
    partitions_def: dg.PartitionsDefinition[str] | None
    group_name: str
    owners: Sequence[str]
    retry_policy: dg.RetryPolicy
    op_tags: Mapping[str, str]
    metadata: Mapping[str, Any]
    kinds: set[str]
    pool: str
    check_specs: Sequence[dg.AssetCheckSpec]
    output_required: bool
    description: str
    automation_condition: dg.AutomationCondition[dg.AssetKey]
    backfill_policy: dg.BackfillPolicy
    code_version: str


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Steps that write the same records: what their assets have in common.

    ``pipeline`` is the first part of every key. ``writer`` names whose records are written, which
    one run at a time does; None where steps of several runs may. ``partitions`` is None for steps
    that are not partitioned.
    """

    pipeline: str
    owners: Sequence[str]
    writer: str | None = None
    partitions: dg.PartitionsDefinition[str] | None = None

    def key(self, name: str) -> dg.AssetKey:
        """The key of one of the pipeline's assets."""
        return dg.AssetKey([self.pipeline, name])

    def step(
        self,
        name: str,
        *,
        group: str,
        deps: Sequence[str | dg.AssetDep | dg.AssetKey] = (),
        schema: dg.TableSchema | None = None,
        lineage: dg.TableColumnLineage | None = None,
        priority: int = 0,
        **more: Any,
    ) -> AssetKeywords:
        """Keywords of ``@dg.asset``. ``deps`` are names within the pipeline, or Dagster's own.

        The higher ``priority`` starts first. ``more`` are Dagster's keywords and win. What computes
        gives its ``code_version``, which goes up when the same input gives another result: Dagster
        then shows what was made by the version before.
        """
        tags = {"dagster/priority": str(priority)} | (
            {WRITER_TAG: self.writer} if self.writer else {}
        )
        keywords = {
            "key": self.key(name),
            "deps": [self.key(one) if isinstance(one, str) else one for one in deps],
            "partitions_def": self.partitions,
            "group_name": f"{self.pipeline}_{group}",
            "owners": list(self.owners),
            "retry_policy": RETRY,
            "op_tags": tags,
            # A run works on one batch: a backfill of many is many runs, whatever else is selected.
            **({"backfill_policy": dg.BackfillPolicy.multi_run(1)} if self.partitions else {}),
            "metadata": {
                name: shown
                for name, shown in (
                    ("dagster/column_schema", schema),
                    ("dagster/column_lineage", lineage),
                )
                if shown
            },
            **more,
        }
        return cast("AssetKeywords", keywords)


@dataclass(frozen=True, kw_only=True)
class LandedFiles(Steps):
    """Files that land under a prefix, are validated in batches, and reach every sink.

    ``pattern`` must match a key's part behind the prefix. ``settings`` say which buckets.
    ``landing`` is the external asset that the prefix is, ``validation`` the asset that stages
    winners, ``sinks`` the writing assets, each of which must have taken a batch before it is
    loaded, ``derived`` what runs with them and the ledger does not wait for. ``rules`` import what
    the files must be; they are called when a batch is read. ``staged`` and ``preview`` are the
    columns that validation hands over and shows. ``unit`` gives an object's partition where that
    is not its batch (see landing.arrival.source.Source), or ``unit_in`` from what it holds, and
    needs ``partitions``. ``limits`` are further fields of that Source. ``keeps_staging`` where
    staging is the pipeline's own archive. ``starts_alone`` where a partition may be worked on of
    which nothing landed: what lands only says when. ``records`` is the kind of its records where
    the pipeline has several (see landing.batch.records.RecordTable). ``reader`` reads a batch's
    objects from the landing bucket in a way of its own. ``facts`` where rows tell of no records.
    ``copy_key`` says where the pipeline keeps a copy of an object, in the bucket of its staging.
    """

    job: str
    store: StoreKind
    pattern: str
    settings: type[Settings]
    description: str
    validation: str
    sinks: tuple[str, ...]
    rules: Callable[[], Rules]
    staged: dg.TableSchema
    preview: tuple[str, ...]
    kinds: Collection[str] = ()
    landing: str = "landing"
    derived: tuple[str, ...] = ()
    unit: Callable[[ObjectVersion], str] | None = None
    unit_in: Callable[[bytes], str] | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)
    keeps_staging: bool = False
    starts_alone: bool = False
    records: str = ""
    reader: Callable[[ObjectStore], Reader] | None = None
    facts: bool = False
    copy_key: Callable[[ObjectVersion], str] | None = None

    @property
    def record_table(self) -> RecordTable | None:
        """The current records that the files tell of; None where they tell of facts."""
        return None if self.facts else getattr(self.rules(), "table", None)

    @property
    def landing_key(self) -> dg.AssetKey:
        """The external asset, upstream of everything."""
        return self.key(self.landing)

    @property
    def source_name(self) -> str:
        """What the ledger calls the prefix."""
        return f"{self.job}_{self.store}"

    @property
    def sensor(self) -> str:
        """The name of the sensor that watches the prefix."""
        return f"{self.source_name}_sensor"

    @cached_property
    def partition_set(self) -> str | None:
        """The name of the dynamic partitions that the sensor adds; None for partitions by time."""
        partitions = self.partitions
        return partitions.name if isinstance(partitions, dg.DynamicPartitionsDefinition) else None

    @property
    def behind_validation(self) -> list[dg.AssetKey]:
        """What a batch without a staged row leaves as it is."""
        return [self.key(name) for name in (*self.sinks, *self.derived)]

    @property
    def checks(self) -> dict[str, tuple[str, ...]]:
        """The checks that a batch's own assets make, by asset."""
        return {
            self.validation: (ROWS_BALANCE, REJECTED_SHARE),
            **dict.fromkeys(self.sinks, (HOLDS_BATCH,)),
        }

    def check_keys(self, names: Collection[str]) -> list[dg.AssetCheckKey]:
        """The keys of the batch's own checks of these assets."""
        return [
            dg.AssetCheckKey(self.key(name), check)
            for name in names
            for check in self.checks.get(name, ())
        ]

    def places(self) -> LandingPlaces:
        """The buckets that the variables name now."""
        places: Any = self.settings.current()
        return places  # type: ignore[no-any-return]

    def uri(self, bucket: str, key: str = "") -> str:
        """An object, as people write it."""
        return f"{_SCHEMES[self.store]}://{bucket}/{key}"

    def source(self, bucket: str, prefix: str) -> Source:
        """What the scan looks at and how it becomes batches."""
        return Source(
            name=self.source_name,
            pipeline=self.pipeline,
            store=self.store,
            bucket=bucket,
            prefix=prefix,
            pattern=re.compile(re.escape(prefix) + self.pattern, re.DOTALL),
            sinks=self.sinks,
            unit=self.unit,
            unit_in=self.unit_in,
            **self.limits,
        )

    def landing_spec(self) -> dg.AssetSpec:
        """The prefix as Dagster shows it."""
        places = self.places()
        return dg.AssetSpec(
            key=self.landing_key,
            group_name=f"{self.pipeline}_landing",
            owners=list(self.owners),
            kinds={self.store, *self.kinds},
            description=f"{self.description} Observed by `{self.sensor}`, with the backlog as the "
            "ledger counts it.",
            metadata={"dagster/uri": self.uri(places.bucket, places.prefix)},
        )

    def validates(self, **more: Any) -> AssetKeywords:
        """Keywords of the step that validates a batch."""
        return self.step(
            self.validation,
            group="landing",
            deps=[self.landing],
            schema=self.staged,
            **{
                "kinds": {"python", "parquet"},
                "check_specs": validation_checks(self.key(self.validation)),
                **more,
            },
        )

    def sink(
        self,
        name: str,
        *,
        kinds: Collection[str],
        pool: str | None,
        group: str = "stores",
        holds: str = HOLDS,
        deps: Sequence[str] = (),
        **more: Any,
    ) -> AssetKeywords:
        """Keywords of a sink: it reads staging only, so that one can fail or run alone.

        ``pool`` names, behind the pipeline, whose slot it holds; None for a sink of which any
        number may run. Its check says that the store
        ``holds`` the batch.
        """
        spec = dg.AssetCheckSpec(HOLDS_BATCH, asset=self.key(name), description=holds)
        return self.step(
            name,
            group=group,
            deps=deps or [self.validation],
            **{
                "kinds": set(kinds),
                **({"pool": f"{self.pipeline}_{pool}"} if pool else {}),
                "check_specs": [spec],
                **more,
            },
        )


def batches(name: str) -> dg.DynamicPartitionsDefinition:
    """One dynamic partition per batch of the pipeline, or of one of several things that land."""
    return dg.DynamicPartitionsDefinition(name=f"{name}_batches")


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """All that a pipeline brings into the code location.

    ``definitions`` gives its own assets, audits (checks that no batch's run makes), jobs, schedules
    and sensors; it is called when the location loads. ``requires`` are the variables without which
    it cannot run, ``servers`` those of the embedded stack that it talks to. ``reasons`` are those
    for which it rejects what does not land in files; files' are beside their rules.
    ``audit_minute`` is the minute of the hour at which its audits run. ``troubles`` gives what, of
    what does not land in files, needs a person: of a connection to Postgres, the time and a link.
    """

    name: str
    settings: type[Settings]
    landed: tuple[LandedFiles, ...]
    definitions: Callable[[], dg.Definitions]
    requires: tuple[str, ...]
    servers: tuple[str, ...]
    reasons: tuple[RejectReason, ...] = ()
    audit_minute: int = 20
    troubles: Callable[[psycopg.Connection[Any], datetime, str], Iterable[Alert]] | None = None
