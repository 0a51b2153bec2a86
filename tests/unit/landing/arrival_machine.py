"""A bucket, its uploaders, a sensor that is killed, runs that fail: in any order.

Belongs here: the state machine and what must hold. Does not: which ledger it runs on.

What must hold (design of landing): every version that is current when it is read is processed by
exactly one batch, once more for each time that it is current again after something else was, the
last one always is, and nothing else is.
"""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from landing.arrival.requests import Request
from landing.arrival.source import Source
from landing.arrival.states import LOADED, LONE_DEATHS, WAIT, run_key
from landing.arrival.tick import Ended, Tick, run_tick
from landing.batch.holding import HELD, BatchHeldElsewhere
from landing.stores.base import ObjectGone, ObjectNotCurrent
from tests.unit.landing.bucket_model import BucketModel, Clock

PREFIX = "in/"
SINKS = ("first", "second")
DEPLOYS = [SINKS, ("first",), ("second", "third"), ("first", "second", "third")]

#: Whatever process reads it dies.
DEADLY = b"XXX"

#: Names that sort before, between and after each other by bytes, in several planes of Unicode.
FIXED_KEYS = [
    "a.csv", "b.csv", "b.csv0.csv", "Z.csv", "é.csv", "e\u0301.csv", "日本.csv", "\uffee.csv",
    "\U0001f600.csv", "x/y.csv", "x.csv", "\x7f.csv", "\n.csv",
]  # fmt: skip
names = st.sampled_from(FIXED_KEYS) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=3
).map(lambda text: text + ".csv")
contents = st.sampled_from([b"A", b"B", b"CC", DEADLY])
ignored_names = st.sampled_from(["a.csv.tmp", "note.txt", "folder/", "up.part", "\0.csv"])


@dataclass
class ModelRun:
    """A run as Dagster keeps it. ``worker`` says whether its process lives.

    ``began`` says whether it ever did. A process that was only stopped is without its lock, too.
    """

    request: Request
    run_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    status: str = "queued"
    worker: bool = False
    began: bool = False
    stopped: bool = False


@dataclass
class ModelRuns:
    """Dagster's run storage: at most one run per run key, as long as it isn't deleted."""

    runs: list[ModelRun] = field(default_factory=list)

    def launch(self, request: Request) -> None:
        if not any(run.request.run_key == request.run_key for run in self.runs):
            self.runs.append(ModelRun(request))

    def how_ended(self, run_key: str) -> Ended | None:
        found = [run for run in self.runs if run.request.run_key == run_key]
        if not found or any(run.status in {"queued", "started"} for run in found):
            return None
        return self._ended(found[-1])

    def has_succeeded(self, run_id: str) -> bool:
        return any(run.run_id == run_id and run.status == "succeeded" for run in self.runs)

    def give_up(self, run_id: str) -> Ended:
        found = [run for run in self.runs if run.run_id == run_id]
        for run in found:
            if run.status in {"queued", "started"}:
                run.status = "ended"
        return self._ended(found[-1]) if found else "began"

    def _ended(self, run: ModelRun) -> Ended:
        if run.status == "cancelled":
            return "cancelled"
        return "began" if run.began else "never began"


class ArrivalMachine(RuleBasedStateMachine):
    """Subclasses give the ledger."""

    def make_ledger(self) -> Any:
        raise NotImplementedError

    @initialize(
        exact=st.booleans(),
        page_size=st.integers(1, 4),
        max_objects=st.integers(1, 4),
        in_flight=st.integers(1, 2),
    )
    def start(self, exact: bool, page_size: int, max_objects: int, in_flight: int) -> None:
        self.clock = Clock()
        self.bucket = BucketModel(self.clock, exact=exact)
        self.ledger = self.make_ledger()
        self.runs = ModelRuns()
        self.cursor: str | None = None
        self.processed: dict[tuple[str, str], list[tuple[str, int, bytes]]] = {}
        self.deaths: Counter[int] = Counter()
        self.returns: Counter[tuple[str, str]] = Counter()
        self.withheld: Counter[tuple[str, str]] = Counter()
        self.cancelled: set[str] = set()
        self.source = Source(
            name="model",
            pipeline="model",
            store=self.bucket.kind,
            bucket=self.bucket.name,
            prefix=PREFIX,
            pattern=re.compile(re.escape(PREFIX) + r".*\.csv", re.DOTALL),
            sinks=SINKS,
            page_size=page_size,
            max_objects=max_objects,
            max_in_flight=in_flight,
            max_bytes=5,
        )

    # The outside.

    @rule(name=names, content=contents, age=st.sampled_from([0, 0, 0, 1, 86_400]))
    def put(self, name: str, content: bytes, age: int) -> None:
        self.bucket.put(PREFIX + name, content, age=age)

    @rule(some=st.lists(st.tuples(names, contents), max_size=6))
    def put_in_one_second(self, some: list[tuple[str, bytes]]) -> None:
        for name, content in some:
            self.bucket.put(PREFIX + name, content)

    @rule(name=names)
    def rewrite_back_and_forth(self, name: str) -> None:
        for content in (b"A", b"B", b"A"):
            self.bucket.put(PREFIX + name, content)
            self.clock.advance(0.4)

    @rule(name=ignored_names, content=st.sampled_from([b"", b"A"]))
    def put_something_to_ignore(self, name: str, content: bytes) -> None:
        self.bucket.put(PREFIX + name, content)

    @rule(name=names)
    def put_empty(self, name: str) -> None:
        self.bucket.put(PREFIX + name, b"")

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.bucket.current:
            self.bucket.delete(data.draw(st.sampled_from(sorted(self.bucket.current))))

    @rule(data=st.data())
    def newest_version_is_removed(self, data: st.DataObject) -> None:
        """By its id, as a bucket that keeps versions lets one: also a delete marker."""
        if self.bucket.exact and self.bucket.rewritten:
            key = data.draw(st.sampled_from(self.bucket.rewritten))
            self.bucket.roll_back(key)
            if key in self.bucket.current:
                version, _ = self.bucket.current[key]
                self.returns[version.key, version.version] += 1

    @rule(name=names, content=st.sampled_from([b"A", DEADLY]))
    def newest_version_is_removed_once_it_is_loaded(self, name: str, content: bytes) -> None:
        if self.bucket.exact:
            for each in (b"B", content):
                version = self.bucket.put(PREFIX + name, each)
                for _ in range(6):
                    self.take_a_turn()
            self.bucket.roll_back(version.key)
            self.returns[version.key, self.bucket.current[version.key][0].version] += 1

    @rule(data=st.data())
    def server_says_it_is_gone(self, data: st.DataObject) -> None:
        if self.bucket.current:
            self.bucket.absent_once.add(data.draw(st.sampled_from(sorted(self.bucket.current))))

    @rule(pages=st.integers(1, 3))
    def listing_shows_nothing_for_a_while(self, pages: int) -> None:
        self.bucket.empty_pages = pages

    @rule(seconds=st.sampled_from([0.3, 1, 5, 31, 61, 301, 4_000]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def clock_goes_back(self) -> None:
        # Whole seconds tell versions apart only while clocks agree; numbers always do.
        if self.bucket.exact:
            self.clock.advance(-7)

    # The sensor.

    @rule(
        pages=st.integers(1, 3),
        killed=st.sampled_from(["no", "no", "before the runs", "before the cursor"]),
        meanwhile=st.lists(st.tuples(names, st.none() | contents), max_size=2),
        second_tick=st.booleans(),
        hinted=st.lists(names, max_size=3),
    )
    def tick(
        self,
        pages: int,
        killed: str,
        meanwhile: list[tuple[str, bytes | None]],
        second_tick: bool,
        hinted: list[str],
    ) -> None:
        changes = list(meanwhile)
        other: list[Tick] = []

        def during_the_listing() -> None:
            if changes:
                name, content = changes.pop()
                if content is None:
                    self.bucket.delete(PREFIX + name)
                else:
                    self.bucket.put(PREFIX + name, content)
            elif second_tick and not other:
                self.bucket.before_page = lambda: None
                other.append(self.evaluate(self.cursor, pages=2))

        self.bucket.before_page = during_the_listing
        # Events name some keys, whether or not anything is there, and not all that changed.
        keys = [PREFIX + name for name in hinted]
        tick = self.evaluate(self.cursor, pages=pages, hints=keys)
        self.bucket.before_page = lambda: None
        for each in [*other, tick]:
            if killed == "no":
                self.cursor = each.cursor
            if killed != "before the runs":
                for request in each.requests:
                    self.runs.launch(request)

    @rule(text=st.sampled_from([None, "", "in/b.csv", "{}", '{"format": 1}', "[1]"]))
    def cursor_is_lost(self, text: str | None) -> None:
        self.cursor = text

    def evaluate(self, cursor: str | None, pages: int, hints: Sequence[str] = ()) -> Tick:
        self.bucket.pages = 0
        return run_tick(
            self.source,
            self.bucket,
            self.ledger,
            cursor,
            now=self.clock,
            deadline=pages,
            clock=lambda: float(self.bucket.pages),
            runs=self.runs,
            hints=hints,
        )

    # The runs.

    def runs_with(self, *statuses: str) -> list[ModelRun]:
        return [run for run in self.runs.runs if run.status in statuses]

    @rule(data=st.data())
    def run_starts(self, data: st.DataObject) -> None:
        queued = self.runs_with("queued")
        if queued:
            self.begin(data.draw(st.sampled_from(queued)))

    def begin(self, run: ModelRun) -> None:
        """Its process starts, and its first step takes up the batch, or sees that it must not."""
        run.status, run.worker, run.began = "started", True, True
        self.ledger.take_lock(run.run_id)
        try:
            self.ledger.mark_running(
                run.request.batch_id, run.run_id, self.clock.now, run.request.run_key
            )
        except BatchHeldElsewhere:
            assert self.ledger.batch(run.request.batch_id).run_id != run.run_id
            self.end(run, "permanent")

    @rule(
        data=st.data(), sinks=st.integers(0, 2), error=st.sampled_from(["transient", "permanent"])
    )
    def run_ends(self, data: st.DataObject, sinks: int, error: str) -> None:
        started = [run for run in self.runs_with("started") if run.worker]
        if started:
            run = data.draw(st.sampled_from(started))
            self.work(run, sinks)
            self.end(run, error)

    @rule(data=st.data(), sinks=st.integers(0, len(SINKS) - 1), failed=st.booleans())
    def run_leaves_the_rest_to_others(self, data: st.DataObject, sinks: int, failed: bool) -> None:
        """A step waits for somebody else's work: the run ends well, or by what fails beside it."""
        working = [run for run in self.runs_with("started") if run.worker]
        found = [*self.runs_with("queued"), *working]
        if not found:
            return
        run = data.draw(st.sampled_from(found))
        if run.status == "queued":
            self.begin(run)
        batch_id = run.request.batch_id
        self.work(run, min(sinks, len(run.request.sinks) - 1))
        if not run.worker:
            return
        before = self.ledger.batch(batch_id)
        self.ledger.mark_waiting(batch_id, run_id=run.run_id, now=self.clock.now)
        after = self.ledger.batch(batch_id)
        if (before.state, before.run_id) == ("running", run.run_id):
            assert after.state == "waiting"
            assert after.next_attempt_at == self.clock.now + WAIT
            assert after.waiting_since == before.waiting_since or before.waiting_since is None
        else:
            assert after == before, "another run works on it"
        if failed:
            self.end(run, "transient")
            assert self.ledger.batch(batch_id).state != "waiting" or after.run_id != run.run_id
        else:
            run.status, run.worker = "ended", False
            self.ledger.release(run.run_id)

    def work(self, run: ModelRun, sinks: int) -> None:
        """Validate, unless that is done, and write that many of the requested sinks."""
        if not run.worker:
            return
        try:
            self.step_by_step(run, sinks)
        except BatchHeldElsewhere:
            batch = self.ledger.batch(run.request.batch_id)
            assert batch.run_id != run.run_id or batch.state not in HELD, "it holds the batch"

    def step_by_step(self, run: ModelRun, sinks: int) -> None:
        request = run.request
        batch = self.ledger.batch(request.batch_id)
        holds = batch.run_id == run.run_id and batch.state in HELD
        assert request.sinks, "a run without anything to do was requested"
        if holds:
            assert request.validate == (batch.validated_at is None)
        if request.validate:
            found = []
            outcomes: dict[int, str] = {}
            for seq, version in self.ledger.versions(request.batch_id):
                if seq in self.ledger.aside():
                    continue
                try:
                    with self.bucket.open(version) as stream:
                        content = stream.read()
                except ObjectNotCurrent as error:
                    outcomes[seq] = "gone" if isinstance(error, ObjectGone) else "superseded"
                    self.withheld[version.key, version.version] += 1
                    continue
                if content == DEADLY:
                    self.kill(run)
                    return
                outcomes[seq] = "loaded"
                found.append(((version.key, version.version), (request.batch_id, seq, content)))
            self.ledger.mark_validated(request.batch_id, run.run_id, self.clock.now, outcomes)
            for identity, read in found:
                self.processed.setdefault(identity, []).append(read)
        for sink in request.sinks[:sinks]:
            self.ledger.mark_sink_done(request.batch_id, sink, run.run_id)

    def kill(self, run: ModelRun) -> None:
        run.worker = False
        self.ledger.release(run.run_id)
        for seq, _ in self.ledger.versions(run.request.batch_id):
            self.deaths[seq] += 1

    def end(self, run: ModelRun, error: str) -> None:
        self.ledger.mark_failed(
            run.request.batch_id, run_id=run.run_id, error_class=error, now=self.clock.now
        )
        run.status, run.worker = "ended", False
        self.ledger.release(run.run_id)

    @rule(data=st.data(), noticed=st.booleans())
    def run_is_killed(self, data: st.DataObject, noticed: bool) -> None:
        started = [run for run in self.runs_with("started") if run.worker]
        if started:
            run = data.draw(st.sampled_from(started))
            self.kill(run)
            if noticed:
                run.status = "ended"

    @rule(data=st.data())
    def run_is_stopped(self, data: st.DataObject) -> None:
        """Its locks are gone, as when it is dead; but it will go on."""
        started = [run for run in self.runs_with("started") if run.worker]
        if started:
            run = data.draw(st.sampled_from(started))
            self.kill(run)
            run.stopped = True

    @rule(data=st.data(), sinks=st.integers(0, 2))
    def stopped_run_goes_on(self, data: st.DataObject, sinks: int) -> None:
        """Until it sees that its locks are gone; whatever it does, its batch may be another's."""
        stopped = [run for run in self.runs.runs if run.stopped]
        if stopped:
            run = data.draw(st.sampled_from(stopped))
            run.stopped, run.worker = False, True
            before = self.ledger.batch(run.request.batch_id)
            self.work(run, sinks)
            if before.run_id != run.run_id:
                assert self.ledger.batch(run.request.batch_id) == before
            self.end(run, "permanent")

    @rule(data=st.data())
    def run_is_cancelled_while_it_starts(self, data: st.DataObject) -> None:
        queued = self.runs_with("queued")
        if queued:
            run = data.draw(st.sampled_from(queued))
            run.status = "cancelled"
            self.cancelled.add(run.request.run_key)

    @rule(sinks=st.sampled_from(DEPLOYS))
    def deploy(self, sinks: tuple[str, ...]) -> None:
        """Code with other sinks takes over; its first tick comes when it comes."""
        self.source = replace(self.source, sinks=sinks)

    @rule(data=st.data())
    def run_dies_in_the_queue(self, data: st.DataObject) -> None:
        queued = self.runs_with("queued")
        if queued:
            data.draw(st.sampled_from(queued)).status = "ended"

    @rule(data=st.data())
    def run_is_deleted(self, data: st.DataObject) -> None:
        deletable = self.runs_with("queued", "ended")
        if deletable:
            self.runs.runs.remove(data.draw(st.sampled_from(deletable)))

    @invariant()
    def a_cancelled_start_stays_cancelled(self) -> None:
        if hasattr(self, "ledger"):
            for batch in self.ledger.open_batches(self.source):
                key = run_key(batch.batch_id, batch.attempt)
                if key in self.cancelled:
                    assert batch.state in {"requested", "failed_permanent", "pending"}

    @rule(data=st.data())
    def operator_reopens(self, data: st.DataObject) -> None:
        batches = sorted(batch.batch_id for batch in self.ledger.open_batches(self.source))
        if batches:
            self.ledger.reopen(data.draw(st.sampled_from(batches)))

    # What must hold.

    @invariant()
    def a_version_is_in_one_batch(self) -> None:
        if not hasattr(self, "ledger"):
            return
        rows = self.ledger.assignments()
        for identity, times in Counter((v.key, v.version) for _, v, _ in rows).items():
            assert times <= 1 + self.returns[identity] + self.withheld[identity]
        ids = self.ledger.batch_ids()
        assert ids == sorted(set(ids)), "ids do not follow the order of creation"

    @invariant()
    def no_more_in_flight_than_allowed(self) -> None:
        if hasattr(self, "ledger"):
            # An operator's reopening can race with a run, never past one per running run.
            states = [batch.state for batch in self.ledger.open_batches(self.source)]
            assert states.count("requested") <= self.source.max_in_flight

    @invariant()
    def who_waits_for_others_is_counted_and_comes_back(self) -> None:
        if hasattr(self, "ledger"):
            unloaded = self.ledger.open_batches(self.source)
            waiting = [batch for batch in unloaded if batch.state == "waiting"]
            assert self.ledger.backlog(self.source).elsewhere == len(waiting)
            assert all(batch.next_attempt_at and batch.waiting_since for batch in waiting)

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.settle()
            self.check_the_end()

    def settle(self) -> None:
        """Nobody interferes any more: everything has to be processed in bounded time."""
        self.bucket.absent_once.clear()
        for run in self.runs_with("started"):
            # The reaper has seen those whose process is gone.
            run.status = run.status if run.worker else "ended"
        for turn in range(400):
            tick = self.take_a_turn()
            unloaded = self.ledger.open_batches(self.source)
            # The first turn ends a cycle that was begun before; from the second on each is whole.
            done = not unloaded and not self.ledger.unassigned(self.source, 1)
            if turn and done and not tick.scan.new and not self.unread():
                return
        raise AssertionError("the backlog was never worked off")

    def take_a_turn(self) -> Tick:
        """A tick and all that it asks for, without bad luck."""
        self.clock.advance(40)
        tick = self.evaluate(self.cursor, pages=10_000)
        self.cursor = tick.cursor
        for request in tick.requests:
            self.runs.launch(request)
        for run in self.runs_with("queued"):
            self.begin(run)
        for run in [run for run in self.runs_with("started") if run.worker]:
            self.work(run, len(run.request.sinks))
            if run.worker:
                self.end(run, "transient")
        for batch in self.ledger.open_batches(self.source):
            # Nobody has to bring back one that waits for others, or that died.
            if batch.state == "failed_permanent":
                self.ledger.reopen(batch.batch_id)
        return tick

    def newest(self) -> dict[tuple[str, str], tuple[int, str | None]]:
        """Where each version is that the ledger knows, the last time that it was current."""
        return {(v.key, v.version): (seq, batch) for seq, v, batch in self.ledger.assignments()}

    def unread(self) -> list[str]:
        """Keys whose version was not read since it is current, and is not read yet."""
        rows, aside = self.newest(), self.ledger.aside()
        read = {seq for reads in self.processed.values() for _, seq, _ in reads}
        last: dict[str, int] = {}
        for (key, _), reads in self.processed.items():
            last[key] = max([last.get(key, 0), *(seq for _, seq, _ in reads)])
        unread = []
        for key, (version, content) in self.bucket.current.items():
            if content and re.fullmatch(r"in/[^\0]*\.csv", key, re.DOTALL):
                seq, _ = rows.get((key, version.version), (0, None))
                if seq not in aside and (seq not in read or seq != last.get(key)):
                    unread.append(key)
        return unread

    def check_the_end(self) -> None:
        rows = self.newest()
        for identity, reads in self.processed.items():
            most = 1 + self.returns[identity]
            assert len(reads) <= most, f"{identity} was processed by {reads}, at most {most} times"
        for key, (version, content) in self.bucket.current.items():
            if not content or not re.fullmatch(r"in/[^\0]*\.csv", key, re.DOTALL):
                assert (key, version.version) not in rows
                continue
            seq, batch_id = rows[key, version.version]
            if seq in self.ledger.aside():
                assert self.deaths[seq] >= LONE_DEATHS
                assert (key, version.version) not in self.processed
                continue
            assert content != DEADLY
            batch_id, seq, read = self.processed[key, version.version][-1]
            assert read == content
            assert rows[key, version.version] == (seq, batch_id)
            last = max(
                one for (of, _), reads in self.processed.items() for _, one, _ in reads if of == key
            )
            assert last == seq, "what was read last is not what is there"
        existed = {(v.key, v.version): content for v, content in self.bucket.history.items()}
        for identity, reads in self.processed.items():
            assert {content for _, _, content in reads} == {existed[identity]}
        for batch_id in self.ledger.every_batch():
            assert self.ledger.batch(batch_id).state in LOADED
