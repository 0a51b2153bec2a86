"""Putting many questions to a service at once, and giving up on one that answers nobody.

Belongs here: threads, bounds in number and time. Does not: one call (`polite_http`), any service.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from resources.polite_http import Answer, Failed

Question = TypeVar("Question")


def ask_all(
    questions: Sequence[Question],
    ask: Callable[[Question], Answer],
    *,
    concurrency: int,
    seconds: float,
    patience: int,
) -> Iterator[list[tuple[Question, Answer | None]]]:
    """Each question with its answer, a few at a time, as they come in.

    At most ``concurrency`` are being asked at any time, and those whose answers were not yielded
    yet are no more than that. After ``patience`` failures in a row no more is asked, and the rest
    comes with None. After ``seconds`` no more is asked either, and the rest doesn't come at all.
    Raises what ``ask`` raises, once what is being asked has ended.
    """
    end = time.monotonic() + seconds
    rest = iter(questions)
    failures = 0
    with ThreadPoolExecutor(concurrency, thread_name_prefix="ask") as pool:
        asking: dict[Future[Answer], Question] = {
            pool.submit(ask, question): question for question in islice(rest, concurrency)
        }
        while asking:
            done, _ = wait(asking, return_when=FIRST_COMPLETED)
            answered = [(asking.pop(future), future.result()) for future in done]
            for _, answer in answered:
                failures = failures + 1 if isinstance(answer, Failed) else 0
            if failures < patience and time.monotonic() < end:
                # Before the caller stores anything, so that nobody waits for that.
                for question in islice(rest, concurrency - len(asking)):
                    asking[pool.submit(ask, question)] = question
            yield list(answered)
    if failures >= patience and (unasked := [(question, None) for question in rest]):
        yield list(unasked)
