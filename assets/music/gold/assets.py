"""The gold assets: decorators and resources over one replacement per table.

Belongs here: what each is called, needs and shows. Does not: how a table is replaced
(``replacement.py``), its SQL (``targets.py``).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame.step import StepEvents, sink_events
from assets.frame.tables import Table
from assets.music.pipeline import MUSIC
from assets.music.registry.gold import OF_PLAYS, TABLES
from assets.sinks.result import SinkResult, Verification
from landing.batch.delivery import Delivery
from resources.minio import MinioResource
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from assets.music.gold.replacement import Replaced


def _gold(table: Table) -> dg.AssetsDefinition:
    """A gold table's asset: it follows silver and the lyrics, or the plays, and nothing else."""

    @dg.asset(
        **MUSIC.sink(
            table.name,
            group="gold",
            deps=["silver_songs", "fact_play" if table in OF_PLAYS else "song_lyrics"],
            kinds={"postgres", "gold"},
            pool="postgres",
            schema=table.column_schema(),
            code_version="1",
            holds="What the batch touched, recounted from silver by another query.",
            description=table.description,
        )
    )
    def follow_silver(
        context: dg.AssetExecutionContext, postgres: PostgresResource, minio: MinioResource
    ) -> StepEvents:
        yield from _follow_silver(context, postgres, minio)

    return follow_silver


def _follow_silver(
    context: dg.AssetExecutionContext, postgres: PostgresResource, minio: MinioResource
) -> StepEvents:
    """Replace the table of the asset that runs, and say how."""
    name = context.asset_key.path[-1]
    done: list[Replaced] = []

    def take(delivery: Delivery) -> tuple[SinkResult, Verification]:
        from assets.music.gold.recount import recount
        from assets.music.gold.refused_rows import tell
        from assets.music.gold.replacement import replace
        from assets.music.gold.targets import TARGETS

        with postgres.connect() as conn:
            replaced = replace(conn, TARGETS[name], delivery.batch_id)
            found = recount(conn, TARGETS[name], aside=replaced.refused)
            tell(conn, TARGETS[name], replaced.refused, delivery.refuse)
            if found.ok:
                delivery.done_in(conn, rows_written=replaced.computed)
            else:
                conn.rollback()
        done.append(replaced)
        return replaced.result, found

    def metadata() -> Mapping[str, Any]:
        from assets.music.gold.previews import metadata as shown

        if not done:
            return {}
        with postgres.connect() as conn:
            return shown(conn, name, done[0])

    yield from sink_events(MUSIC, context, postgres, minio, take, metadata=metadata)


#: One asset per table.
tables = [_gold(table) for table in TABLES]
