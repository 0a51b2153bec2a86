"""``make quarantine``: what was rejected, why, and putting it back once the rules have changed.

Belongs here: that command and what it prints. Does not: the quarantine itself (``landing``), or
what can be put back (``ops.rejects``).

A replay writes the rejected rows of campaigns and of reading's history, as they first arrived, as
new objects under ``replay/`` of the landing prefix, and the files of music's rejects whole, under
their own keys; rejected messages are published to their topic again (``rejected_messages``).
They arrive there like any other: a batch of their own, today's rules, counts of their own. A file
that was corrected in place needs no replay: it is a new version.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from assets.pipelines import landed_of
from landing.arrival import ledger
from landing.batch import quarantine
from landing.batch.reasons import REJECTED_BY_SINK
from landing.batch.refused import refused_rows, refusing_batches
from ops import rejected_messages
from ops.environment import require
from ops.pipelines import LandedPipeline, landed_pipeline
from ops.terminal import counted, printable, table
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    from assets.frame.declared import LandedFiles
    from landing.batch.quarantine import QuarantinedBatch
    from landing.batch.refused import NotedRefusal, RefusingBatch
    from ops.rejected_messages import RejectedMessages
    from ops.rejects import Reject

_TEXT_CHARACTERS = 160


def run(batch_id: str | None, *, replay: bool, limit: int) -> int:
    """List the batches with rejects, show one batch's (at most ``limit``), or replay it.

    The rejected messages of a subscription go by its name, like those of a batch by its id.

    0 when there is nothing to object to; 1 for an unknown batch, and when nothing of it could be
    replayed.
    """
    postgres = PostgresResource(url=require("POSTGRES_URL"))
    messages = rejected_messages.by_subscription(postgres)
    if batch_id is None:
        return _list(postgres, messages)
    if batch_id in {one.subscription for one in messages}:
        if replay:
            return rejected_messages.replay(postgres, batch_id, os.environ)
        return rejected_messages.show(postgres, batch_id, limit)
    if batch_id in rejected_messages.configured(os.environ):
        print(f"No message of {batch_id} was rejected.")
        return 0
    return _batch(postgres, batch_id, replay=replay, limit=limit)


def _batch(postgres: PostgresResource, batch_id: str, *, replay: bool, limit: int) -> int:
    with postgres.connect() as connection:
        try:
            batch = ledger.batch(connection, batch_id)
        except ledger.UnknownBatchError as error:
            print(f"{error}; `make quarantine` lists those with rejects", file=sys.stderr)
            return 1
        found = quarantine.quarantined(connection, batch_id=batch_id)
        refused = refused_rows(connection, batch_id)
    if not found and not refused:
        print(f"{batch_id} of {batch.pipeline} ({batch.state}) has no rejects.")
        return 0
    files = landed_of(batch.pipeline, batch.source)
    with landed_pipeline(files) as pipeline:
        if refused and not replay:
            _show_refused(pipeline, files, batch_id, refused, limit)
        if not found:
            return 0 if not replay else _nothing_to_replay(batch_id)
        try:
            if replay:
                return _replay(postgres, pipeline, found[0])
            return _show(pipeline, found[0], limit)
        except KeyError as error:
            print(f"{error} is not in the bucket {found[0].bucket} any more", file=sys.stderr)
            return 1


def _list(postgres: PostgresResource, messages: Sequence[RejectedMessages]) -> int:
    with postgres.connect() as connection:
        found = {batch.batch_id: batch for batch in quarantine.quarantined(connection)}
        refusing = {batch.batch_id: batch for batch in refusing_batches(connection)}
        listed = sorted({*found, *refusing})
        pipelines = dict(
            connection.execute(
                "SELECT batch_id, pipeline FROM landing.batch WHERE batch_id = ANY(%s)", (listed,)
            ).fetchall()
        )
    if not listed and not messages:
        print("Nothing was rejected.")
        return 0
    if messages:
        print(table(_message_rows(messages)) + "\n")
    if not listed:
        print("`make quarantine BATCH=…` shows the messages of one subscription.")
        return 0
    rows = [("batch", "pipeline", "rows", "written", "replayed", "reasons")]
    rows += [
        (batch_id, pipelines[batch_id], *_of_batch(found.get(batch_id), refusing.get(batch_id)))
        for batch_id in listed
    ]
    print(table(rows))
    print("\n`make quarantine BATCH=…` shows the rows of one batch.")
    return 0


def _of_batch(
    quarantined: QuarantinedBatch | None, refusing: RefusingBatch | None
) -> tuple[str, ...]:
    """Rows, when the last was written, when they were replayed, and the reasons."""
    rows, written, reasons, replayed = 0, [], Counter[str](), None
    if quarantined:
        rows, replayed = quarantined.rows, quarantined.replayed_at
        written.append(quarantined.written_at)
        reasons.update(quarantined.reasons)
    if refusing:
        rows += refusing.rows
        written.append(refusing.refused_at)
        reasons[REJECTED_BY_SINK.code] += refusing.rows
    return (
        f"{rows:,}",
        f"{max(written):%F %R}",
        f"{replayed:%F %R}" if replayed else "-",
        _reasons(reasons),
    )


def _message_rows(messages: Sequence[RejectedMessages]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("subscription", "messages", "replayed", "last", "reasons")]
    return rows + [
        (
            one.subscription,
            f"{one.count:,}",
            f"{one.replayed:,}",
            f"{one.last_at:%F %R}",
            _reasons(one.reasons),
        )
        for one in messages
    ]


def _show(pipeline: LandedPipeline, batch: QuarantinedBatch, limit: int) -> int:
    from ops.rejects import entries, legend

    print(
        f"{batch.batch_id} of {pipeline.name}: {batch.rows:,} rejected ({_reasons(batch.reasons)})"
    )
    store = pipeline.open_bucket(batch.bucket)
    for reject in islice(entries(quarantine.read(store, batch.key)), limit):
        print(describe(reject))
    if batch.rows > limit:
        print(
            f"\n… {batch.rows - limit:,} more: python -m ops quarantine {batch.batch_id} --limit N"
        )
    print(legend(batch.reasons, pipeline.reasons))
    print(
        f"\nCorrect a file where it lies: the new version arrives by itself. When the rules have "
        f"changed,\n`make quarantine BATCH={batch.batch_id} REPLAY=1` puts them back as they were."
    )
    return 0


def _show_refused(
    pipeline: LandedPipeline,
    files: LandedFiles,
    batch_id: str,
    refused: Sequence[NotedRefusal],
    limit: int,
) -> None:
    from ops.refused_rows import entries
    from ops.rejects import legend

    print(f"{batch_id} of {pipeline.name}: {len(refused):,} refused by a store")
    # Music's rows are no lines of their files.
    landing = None if pipeline.name == "music" else pipeline.open_bucket(files.places().bucket)
    for reject in entries(refused[:limit], landing):
        print(describe(reject))
    if len(refused) > limit:
        print(f"\n… {len(refused) - limit:,} more: python -m ops quarantine {batch_id} --limit N")
    print(legend([REJECTED_BY_SINK.code], pipeline.reasons))


def _nothing_to_replay(batch_id: str) -> int:
    print(
        f"What a store of {batch_id} refuses is not put back: correct it in its file, or "
        "materialize the store's asset for the batch again once it takes it.",
        file=sys.stderr,
    )
    return 1


def _replay(postgres: PostgresResource, pipeline: LandedPipeline, batch: QuarantinedBatch) -> int:
    from ops.rejects import entries

    if batch.replayed_at is not None:
        print(f"{batch.batch_id} was replayed before, at {batch.replayed_at:%F %T %Z}.")
    rejects = entries(quarantine.read(pipeline.open_bucket(batch.bucket), batch.key))
    done = pipeline.put_back(rejects, batch.batch_id)
    if done.rows:
        # Before anything is said: whoever reads may have gone (`… | head -1`).
        with postgres.connect() as connection:
            quarantine.mark_replayed(connection, batch.batch_id)
    for uri, count in done.objects.items():
        print(f"{count:,} → {uri}")
    for refusal, count in done.refused.most_common():
        print(f"{count:,} not put back: {refusal}")
    if not done.rows:
        print(f"Nothing of {batch.batch_id} was put back.", file=sys.stderr)
        return 1
    print(
        f"{done.rows:,} of {counted(batch.rows, 'row', 'rows')} put back: the sensor of "
        f"{pipeline.name} finds them at its next ticks.\n"
        "What today's rules reject again appears as another batch in `make quarantine`."
    )
    return 0


def describe(reject: Reject) -> str:
    """One entry in two lines: where and why, then the text, on one line and cut."""
    where = "whole object" if reject.line is None else f"line {reject.line}"
    detail = f"  ({printable(reject.detail)})" if reject.detail else ""
    text = printable(reject.text[: _TEXT_CHARACTERS + 1])
    if len(text) > _TEXT_CHARACTERS or reject.truncated:
        text = text[:_TEXT_CHARACTERS] + "…"
    return f"{printable(reject.source)}  {where}  {reject.reason}{detail}\n    {text}"


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{count:,} {reason}"
        for reason, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
