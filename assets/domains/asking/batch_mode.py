"""The Batch API: half the price, within a day, for large jobs.

Belongs here: submitting, polling and collecting, each step able to go on where a killed one
stopped. Does not: which prompts (``batch_ledger``), what lines look like (``batch_files``).

A batch is intended in the ledger first. Its key is in its file's name and in its metadata, and
both are looked for before they are made: with the client's own retries one hung answer to
``batches.create`` made two batches.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from assets.domains.asking import batch_ledger, ledger
from assets.domains.asking.batch_files import (
    MOST_BYTES,
    MOST_REQUESTS,
    URL,
    OutputLine,
    batch_file,
    file_name,
    read_line,
)
from assets.domains.asking.batch_ledger import Batch, batches_of
from assets.domains.asking.calling import Failure
from assets.domains.asking.claims import Claim, open_budget
from assets.domains.asking.limits import AskingLimits
from assets.domains.asking.outcome import Review, judge
from assets.domains.asking.settlement import Settlement, of_answer, of_failure

if TYPE_CHECKING:
    import openai
    import psycopg
    from openai.types import Batch as ApiBatch

    from resources.openai import OpenAIResource
    from resources.postgres import PostgresResource

    Connection = psycopg.Connection[Any]

KEY = "quintet_key"
RUNNING = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
#: Seconds that the API's clock may be behind ours.
_SKEW = 3600.0
#: Seconds for a file of MOST_BYTES.
_FILE_TIMEOUT = 600.0
_SETTLED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class BatchStep:
    """What one step did, and what is open after it; ``busy`` when another process is at it.

    ``outcomes`` counts requests by what came of them, ``errors`` are those of whole batches.
    """

    submitted: int = 0
    unaffordable: int = 0
    open_batches: int = 0
    collected: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    left: int = 0
    busy: bool = False


def step(
    postgres: PostgresResource,
    openai: OpenAIResource,
    month: date,
    *,
    review: Review,
    limits: AskingLimits,
    log: logging.Logger,
    requests: int = MOST_REQUESTS,
    size: int = MOST_BYTES,
) -> BatchStep:
    """Submit what is pending, see what has ended, collect it: for a sensor, until left is 0.

    Waits for nothing. Raises openai.OpenAIError, psycopg.Error; the next step goes on.
    """
    with batches_of(postgres, month) as conn, openai.client() as client:
        if conn is None:
            return BatchStep(busy=True)
        one = _Step(conn, client, month, review, limits, log)
        ended = one.poll()
        for batch, api in ended:
            one.collect(batch, api)
        submitted, unaffordable = one.submit(requests, size)
        return BatchStep(
            submitted=submitted,
            unaffordable=unaffordable,
            open_batches=len(batch_ledger.open_batches(conn, month)),
            collected=len(ended),
            outcomes=dict(one.outcomes),
            errors=tuple(one.errors),
            left=ledger.left(conn, month),
        )


class _Step:
    """One process's turn at the batches of a month."""

    def __init__(  # noqa: PLR0917 - of this module only
        self,
        conn: Connection,
        client: openai.OpenAI,
        month: date,
        review: Review,
        limits: AskingLimits,
        log: logging.Logger,
    ) -> None:
        self._conn, self._client, self._month = conn, client, month
        self._review, self._limits, self._log = review, limits, log
        self._prices = limits.prices.halved()
        self.outcomes: Counter[str] = Counter()
        self.errors: list[str] = []

    def submit(self, requests: int, size: int) -> tuple[int, int]:
        """Intend batches of what is pending, then make those that are only intended.

        Returns how many prompts were taken, and how many the budget has no room for.
        """
        open_budget(self._conn, self._month, self._limits)
        taken = 0
        while True:
            keys, got = batch_ledger.intend(
                self._conn, self._month, self._limits, requests=requests, size=size
            )
            taken += len(got.claims)
            if keys:
                self._log.info("Intended batches %s of %d prompts", keys, len(got.claims))
            if len(got.claims) < requests:
                break
        for batch in batch_ledger.open_batches(self._conn, self._month):
            if batch.state == "intended":
                self._make(batch)
        return taken, got.unaffordable

    def poll(self) -> list[tuple[Batch, ApiBatch | None]]:
        """Batches that have ended, with what the API says of them; None where it has none."""
        import openai

        ended: list[tuple[Batch, ApiBatch | None]] = []
        for batch in batch_ledger.open_batches(self._conn, self._month):
            if batch.batch_id is None:
                continue
            try:
                api = self._client.batches.retrieve(batch.batch_id)
            except openai.NotFoundError:
                ended.append((batch, None))
                continue
            batch_ledger.seen(self._conn, batch, api.status)
            if api.status not in RUNNING:
                ended.append((batch, api))
        return ended

    def collect(self, batch: Batch, api: ApiBatch | None) -> None:
        """Store what an ended batch brought; what is in none of its files failed."""
        claims = {claim.prompt_hash: claim for claim in batch_ledger.covered(self._conn, batch)}
        settlements: list[Settlement] = []
        for line in self._lines(api):
            claim = claims.pop(line.prompt_hash, None) if line.prompt_hash else None
            if claim is None:
                continue  # settled before another step was killed, or not ours
            settlements.append(self._settlement(claim, line))
            if len(settlements) == _SETTLED_AT_ONCE:
                batch_ledger.settle(self._conn, batch, self._month, settlements)
                settlements.clear()
        missing = _missing(api, len(claims))
        settlements += [of_failure(one, missing, self._prices, "batch") for one in claims.values()]
        self.outcomes.update([missing.kind] * len(claims))
        batch_ledger.settle(self._conn, batch, self._month, settlements)
        status, error = api.status if api else "gone", _error_of(api)
        if error:
            self.errors.append(f"batch {batch.batch_id}: {error}")
        batch_ledger.collected(self._conn, batch, status, _counts(api), error)
        self._log.info("Batch %s %s, %d without a result", batch.batch_id, status, len(claims))

    def _make(self, batch: Batch) -> None:
        """Find the batch, or find or upload its file and create it."""
        found = self._find(batch)
        if found is None:
            found = self._create(batch, self._file(batch))
        if found is not None:
            batch_ledger.created(self._conn, batch, found.id, found.input_file_id, found.status)

    def _create(self, batch: Batch, file_id: str) -> ApiBatch | None:
        """None where it is not known whether it was created: the next step finds out."""
        import openai

        try:
            return self._client.batches.create(
                input_file_id=file_id,
                endpoint=URL,
                completion_window="24h",
                metadata={KEY: batch.key},
            )
        except (openai.APIConnectionError, openai.InternalServerError) as error:
            self._log.warning("No answer to creating a batch (%s): looking for it", error)
            return self._find(batch)

    def _find(self, batch: Batch) -> ApiBatch | None:
        oldest = batch.intended_at.timestamp() - _SKEW
        for one in self._client.batches.list(limit=100):
            if one.created_at < oldest:
                return None
            if (one.metadata or {}).get(KEY) == batch.key:
                return one
        return None

    def _file(self, batch: Batch) -> str:
        """The id of its file, uploaded now if it is not there yet."""
        oldest = batch.intended_at.timestamp() - _SKEW
        for one in self._client.files.list(purpose="batch", order="desc", limit=100):
            if one.created_at < oldest:
                break
            if one.filename == file_name(batch.key):
                return one.id
        content = batch_file(batch_ledger.covered(self._conn, batch)).content
        made = self._client.with_options(timeout=_FILE_TIMEOUT).files.create(
            file=(file_name(batch.key), content, "application/jsonl"), purpose="batch"
        )
        batch_ledger.uploaded(self._conn, batch, made.id)
        return made.id

    def _lines(self, api: ApiBatch | None) -> Iterator[OutputLine]:
        """Of its output and error files, as far as there are any, in any order."""
        import openai

        if api is None:
            return

        files = self._client.with_options(timeout=_FILE_TIMEOUT).files
        for file_id in filter(None, (api.output_file_id, api.error_file_id)):
            try:
                with files.with_streaming_response.content(file_id) as response:
                    for line in response.iter_lines():
                        if line.strip():
                            yield read_line(line)
            except openai.NotFoundError:
                self._log.warning("File %s of batch %s is gone", file_id, api.id)

    def _settlement(self, claim: Claim, line: OutputLine) -> Settlement:
        if isinstance(line.result, Failure):
            self.outcomes[line.result.kind] += 1
            return of_failure(claim, line.result, self._prices, "batch")
        limit = claim.request["max_completion_tokens"]
        verdict = judge(claim.facts, claim.reask, limit, line.result, self._review)
        self.outcomes[verdict.result] += 1
        return of_answer(claim, line.result, verdict, self._prices, "batch")


def _missing(api: ApiBatch | None, count: int) -> Failure:
    """What is said of requests that no file mentions: paid, perhaps, if they did not fail."""
    if api is None:
        return Failure("gone", "maybe")
    if api.status != "completed":
        return Failure(api.status, "no")
    failed = api.request_counts.failed if api.request_counts else 0
    return Failure("missing", "no" if count <= failed else "maybe")


def _counts(api: ApiBatch | None) -> tuple[int | None, int | None]:
    """Requests that were answered and that failed, as the API counts them."""
    counts = api.request_counts if api else None
    return (counts.completed, counts.failed) if counts else (None, None)


def _error_of(api: ApiBatch | None) -> str | None:
    """Why a whole batch failed: codes only, since messages can quote prompts."""
    errors = (api.errors.data if api and api.errors else None) or []
    codes = sorted({error.code or "unknown" for error in errors})
    return ", ".join(codes) if codes else None
