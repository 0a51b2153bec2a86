"""A process of our own that works on one task and answers as it goes.

Belongs here: starting and ending it, how the two talk, what its failure means. Does not: any task.

The process imports the function that answers, is given its task pickled on its standard input and
answers, pickled, on its standard output. Both ends are this code, started by the same user.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Generic, Self, TypeVar

from landing.batch.failures import FailureClass, PermanentError, TransientError, classify

#: Not ``-m``: what is pickled as ``__main__`` means nothing to the other process.
_PROGRAM = "from assets.frame.worker import serve; from {0} import {1}; serve({1})"
_END_SECONDS = 10.0
_KINDS: Mapping[FailureClass, type[Exception]] = {
    "permanent": PermanentError, "transient": TransientError, "unknown": RuntimeError,
}  # fmt: skip

Task = TypeVar("Task")
Message = TypeVar("Message")


@dataclass(frozen=True, slots=True)
class Failed:
    """The process cannot go on."""

    failure: FailureClass
    error: str


class Worker(Generic[Task, Message]):
    """A process that works on a task; use as a context manager, which ends it.

    ``answers`` is imported there by its module and name. Polars has one thread there: the other
    cores have processes of their own.
    """

    def __init__(self, answers: Callable[[Task], Iterator[Message]], task: Task) -> None:
        self._answers, self._task = answers, task

    def __enter__(self) -> Self:
        """Start it."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "POLARS_MAX_THREADS": "1",
        }
        program = _PROGRAM.format(self._answers.__module__, self._answers.__name__)
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter and a function of ours
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError
        self._said = self._process.stdout
        pickle.dump(self._task, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()  # which ends it
        self._said.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def next(self) -> Message:
        """The next answer. Raises TransientError when the process ended without it.

        What the process failed with is raised as PermanentError or TransientError, or as
        RuntimeError where its class is unknown.
        """
        try:
            message: Message | Failed = pickle.load(self._said)  # noqa: S301 - our own process
        except (EOFError, pickle.UnpicklingError) as error:
            status = self._process.wait(_END_SECONDS)
            raise TransientError(f"a process of this step ended with status {status}") from error
        if isinstance(message, Failed):
            raise _KINDS[message.failure](message.error)
        return message


def serve(answers: Callable[[Task], Iterator[Message]]) -> None:
    """Answer the task on standard input; end when whoever asked is gone."""
    out: IO[bytes] = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever prints must not be in between
    task: Task = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    threading.Thread(target=_end_with, args=(sys.stdin.buffer,), daemon=True).start()
    try:
        for message in answers(task):
            _say(out, message)
    except Exception as error:  # noqa: BLE001 - the other process raises it
        _say(out, Failed(classify(error), f"{type(error).__name__}: {error}"))


def _say(out: IO[bytes], message: object) -> None:
    pickle.dump(message, out, pickle.HIGHEST_PROTOCOL)
    out.flush()


def _end_with(stdin: Any) -> None:
    """End at once when the pipe is closed: the process at its other end has died."""
    stdin.read()
    os._exit(1)
