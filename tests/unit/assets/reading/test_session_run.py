"""The task in a thread: interrupts, errors, regular calls; when changes are reported."""

from __future__ import annotations

import os
import signal
import threading

import dagster as dg
import pytest

from assets.reading.session.watching import Regular, ReportPacing, watch


def interrupt(number=signal.SIGINT):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_lets_the_task_drain(number):
    before = signal.getsignal(number)

    def serve(stopping):
        assert stopping.wait(20), "nobody said that it should stop"
        return "drained"

    assert watch(serve, [Regular(0.0, once(interrupt(number)))]) == ("drained", True)
    assert signal.getsignal(number) is before


def test_a_second_interrupt_does_not_wait_for_the_task():
    forever = threading.Event()
    with pytest.raises(dg.DagsterExecutionInterruptedError):
        watch(lambda _stopping: forever.wait(60), [Regular(0.0, interrupt())])
    forever.set()


def test_the_end_of_the_task_is_the_end():
    calls = []
    result = watch(lambda _stopping: 7, [Regular(60.0, lambda: calls.append(1))])
    assert (result, calls) == ((7, False), [])


def test_what_the_task_raises_is_raised():
    def serve(_stopping):
        raise LookupError("no such subscription")

    with pytest.raises(LookupError, match="no such subscription"):
        watch(serve, [])


def test_the_task_is_stopped_before_the_error_of_a_regular_call_is_raised():
    drained = []

    def serve(stopping):
        drained.append(stopping.wait(20))

    def fail():
        raise LookupError("no such table")

    with pytest.raises(LookupError, match="no such table"):
        watch(serve, [Regular(0.0, fail)])
    assert drained == [True]


def test_regular_calls_are_made_in_the_calling_thread_again_and_again():
    threads, enough = [], threading.Event()

    def call():
        threads.append(threading.current_thread())
        if len(threads) == 3:
            enough.set()

    watch(lambda _stopping: enough.wait(20), [Regular(0.01, call)])
    assert set(threads) == {threading.main_thread()}
    assert len(threads) >= 3


def once(call):
    calls = []

    def wrapped():
        if not calls:
            calls.append(1)
            call()

    return wrapped


def reports(pacing, changes, until):
    """When changes are reported, looking every second; ``changes`` are the times when some come."""
    told, last = [], None
    for now in range(until):
        if now in changes:
            last = now
        if pacing.due(float(now), None if last is None else float(now - last)):
            told.append(now)
            pacing.reported(float(now))
            last = None
    return told


def test_a_burst_is_told_once_it_is_over():
    assert reports(ReportPacing(), range(10, 15), 200) == [17]


def test_a_steady_stream_is_told_soon_and_then_once_a_minute():
    assert reports(ReportPacing(), range(10, 300), 300) == [25, 85, 145, 205, 265]


def test_what_comes_after_a_report_waits_for_its_minute():
    assert reports(ReportPacing(), [10, 14, 40], 200) == [13, 73]


def test_nothing_is_told_when_nothing_changed():
    assert reports(ReportPacing(), [], 500) == []
