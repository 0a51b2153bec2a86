"""Asking for a month of summaries by the thousand, next to a plain client with a semaphore.

The OpenAI stand-in is a process of its own: answers take a lognormal time, a tenth of the requests
is refused (429 with Retry-After), some fail, hang until the client gives up, or come as broken
JSON. Ours keeps a ledger in Postgres, which syncs to disk here, and asks until every prompt is
answered. The plain one is what one writes in an afternoon: AsyncOpenAI with its own retries, a
semaphore and gather; its answers are kept in memory, and what it lost is counted. Run:

    python -m benchmarks.domains [--prompts 10427 --concurrency 200 500 --seeds 1 2 3]

Ideal is prompts x mean latency / concurrency, without any fault. Steady throughput is that of
answers between a tenth and eight tenths of all. CPU is this process's; the servers' is printed. A
seed says which requests fail: the whole time ends a timeout after the last one that hangs, which
may be any of the last few hundred, so that several seeds are run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import math
import os
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg

from assets.domains.asking.engine import ask_month
from assets.domains.asking.ledger import Prompt
from assets.domains.asking.limits import AskingLimits
from assets.domains.asking.outcome import Problem
from local.stack import Stack
from tests.integration.domains.asking.world import INPUT, MODEL, MONTH, OUTPUT, World
from tests.servers import OpenAIAdmin, isolated_environment, start

SERVICES = ["postgres", "openai"]
P50, SIGMA = 1.0, 0.3
MEAN = P50 * math.exp(SIGMA**2 / 2)
FAULTS = {"429": 0.10, "500": 0.02, "hang": 0.005, "malformed": 0.005}
TIMEOUT = 10.0
PLAIN_RETRIES = 8
GOAL_STEADY, GOAL_CPU_MS = 0.95, 2.0
_SYSTEM = (
    "You describe online shops for a search engine. Write one paragraph of 60 to 140 words in"
    " plain English about the shop in the JSON of the user's message. Name its domain and its"
    " category. Use only the figures given, as they are written. No lists, no markup, no links."
)


@dataclass
class Measured:
    """One asking of all prompts. Seconds; ``ends`` are when answers came, from the start."""

    seconds: float
    cpu: float
    answered: int
    ends: list[float]
    servers: dict[str, float] = field(default_factory=dict)
    counters: Mapping[str, Any] = field(default_factory=dict)

    def steady(self) -> float:
        """Answers a second between a tenth and eight tenths of them."""
        ends = sorted(self.ends)
        first, last = len(ends) // 10, 8 * len(ends) // 10
        return (last - first) / (ends[last] - ends[first])

    def served(self) -> float:
        """Of the requests that took the server a latency, how many there were an answer."""
        faults: Mapping[str, int] = self.counters["faults"]
        slow = sum(faults.get(kind, 0) for kind in ("500", "malformed"))
        return (self.answered + slow) / max(1, self.answered)


def prompts(count: int) -> list[Prompt]:
    """Of about 400 tokens, as the pipeline's are."""
    made = []
    for number in range(count):
        facts = {
            "domain": f"shop-{number}.example", "category": f"Category {number % 40}",
            "revenue": "1M–2M", "transactions": "20k–50k", "sessions": "500k–1M",
            "conversion": "2%–5%", "average_order": "50–100", "rank": "top 10%",
            "revenue_trend": "up", "sessions_trend": "flat", "conversion_trend": "down",
            "strongest_country": "Germany", "domains_in_category": 220,
        }  # fmt: skip
        messages = [
            {"role": "system", "content": _SYSTEM},
            {"role": "user", "content": json.dumps(facts, ensure_ascii=False)},
        ]
        body = {"model": MODEL, "messages": messages, "max_completion_tokens": 400, "store": False}
        made.append(Prompt(f"{number:064x}", body, {"domain": facts["domain"]}))
    return made


def review(facts: Mapping[str, Any], text: str) -> Problem | None:
    if facts["domain"] in text and "\n" not in text:
        return None
    return Problem("another_domain", f"Write about {facts['domain']}.")


@contextlib.contextmanager
def environment(stack: Stack) -> Iterator[World]:
    """A fresh database and key."""
    home = Path(tempfile.mkdtemp(prefix="quintet-benchmark-"))
    try:
        with isolated_environment(stack, SERVICES, home) as variables:
            os.environ.update(variables)
            with psycopg.connect(variables["POSTGRES_URL"], autocommit=True) as conn:
                # What the tests turn off; the ledger is to be paid for as in production.
                for setting in ("fsync", "full_page_writes"):
                    conn.execute(f"ALTER SYSTEM SET {setting} = on")
                conn.execute("SELECT pg_reload_conf()")
            yield World(variables)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def server_cpu(stack: Stack) -> dict[str, float]:
    """CPU seconds of each server so far, of its children too."""
    seconds = {}
    for name in SERVICES:
        running = stack.running(name)
        process = running.process() if running else None
        if process is None:
            raise RuntimeError(f"{name} does not run")
        times = process.cpu_times()
        # Postgres has a process per connection, which ends with it.
        seconds[name] = sum((times.user, times.system, times.children_user, times.children_system))
        for one in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                of_child = one.cpu_times()
                seconds[name] += of_child.user + of_child.system
    return seconds


def measured(stack: Stack, admin: OpenAIAdmin, ask: Any, seed: int) -> Measured:
    """Ask with the faults on; ``ask`` returns how many were answered, and when."""
    admin.set_faults(
        latency_p50=P50, latency_sigma=SIGMA, rates=FAULTS, retry_after=1.0, hang_seconds=60.0,
        seed=seed,
    )  # fmt: skip
    before, cpu, started = server_cpu(stack), own_cpu(), time.monotonic()
    answered, ends = ask()
    seconds, cpu = time.monotonic() - started, own_cpu() - cpu
    after = server_cpu(stack)
    servers = {name: after[name] - before[name] for name in SERVICES}
    return Measured(seconds, cpu, answered, ends, servers, admin.counters())


def ours(stack: Stack, count: int, concurrency: int, seed: int) -> Measured:
    with environment(stack) as world:
        admin = OpenAIAdmin.of(os.environ)
        world.add(*prompts(count))
        limits = AskingLimits(
            model=MODEL, input_price=INPUT, output_price=OUTPUT, budget_micros=10**9,
            concurrency=concurrency, timeout=TIMEOUT,
        )  # fmt: skip

        def ask() -> tuple[int, list[float]]:
            report = ask_month(
                world.pg, world.openai, MONTH, review=review, limits=limits,
                log=logging.getLogger("benchmark"),
            )  # fmt: skip
            print(f"  {report}", flush=True)
            rows = world.query(
                "SELECT extract(epoch FROM answered_at)::float FROM domains.openai_answer"
                " WHERE state = 'answered'"
            )
            return len(rows), [row[0] for row in rows]

        result = measured(stack, admin, ask, seed)
        recount(world, result)
        return result


def recount(world: World, result: Measured) -> None:
    """What the server counted, against the ledger. Raises AssertionError."""
    counters = result.counters
    [[sent]] = world.query("SELECT count(*) FROM domains.openai_attempt")
    assert counters["dispatched"] == sent, (counters, sent)
    told = (
        counters["prompt_tokens"] - counters["lost_prompt_tokens"],
        counters["completion_tokens"] - counters["lost_completion_tokens"],
    )
    assert world.tokens() == told, (world.tokens(), told)
    assert counters["received_twice"] == 0, counters
    world.assert_sound()


def plain(stack: Stack, count: int, concurrency: int, seed: int) -> Measured:
    from openai import AsyncOpenAI

    lost: Counter[str] = Counter()
    ends: list[float] = []
    texts: list[str] = []

    async def run(client: AsyncOpenAI) -> None:
        slots = asyncio.Semaphore(concurrency)

        async def one(prompt: Prompt) -> None:
            async with slots:
                try:
                    answer = await client.chat.completions.create(**prompt.request)
                except Exception as error:  # noqa: BLE001
                    lost[type(error).__name__] += 1
                else:
                    ends.append(time.monotonic())
                    texts.append(answer.choices[0].message.content)

        async with client:
            await asyncio.gather(*(one(prompt) for prompt in prompts(count)))

    with environment(stack) as world:
        client = AsyncOpenAI(
            base_url=world.openai.base_url,
            api_key=world.openai.api_key,
            timeout=TIMEOUT,
            max_retries=PLAIN_RETRIES,
        )

        def ask() -> tuple[int, list[float]]:
            asyncio.run(run(client))
            return len(ends), ends

        result = measured(stack, OpenAIAdmin.of(os.environ), ask, seed)
    print(f"  plain client lost {sum(lost.values())}: {dict(lost)}", flush=True)
    return result


def report(name: str, result: Measured, count: int, concurrency: int) -> None:
    ideal = count * MEAN / concurrency
    rate = concurrency / MEAN
    share = result.steady() / rate
    busy = share * result.served()
    cpu_ms = 1e3 * result.cpu / max(1, result.answered)
    servers = ", ".join(f"{what} {seconds:.1f} CPU-s" for what, seconds in result.servers.items())
    most = ideal + 1.5 * TIMEOUT
    print(
        f"{name}, {concurrency} at once: {result.answered}/{count} answered in"
        f" {result.seconds:.1f} s (ideal {ideal:.1f}, goal ≤ {most:.1f}, one after another"
        f" {count * MEAN:.0f});\n  steady {result.steady():.1f}/s, {share:.3f} of {rate:.1f}/s;"
        f" {busy:.3f} with requests that failed after a latency (goal ≥ {GOAL_STEADY});\n"
        f"  {cpu_ms:.2f} CPU-ms an answer (goal ≤ {GOAL_CPU_MS}); servers: {servers};\n"
        f"  server counted {result.counters['dispatched']} requests,"
        f" {result.counters['paid_calls']} generated, {result.counters['received_twice']} twice"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prompts", type=int, default=10_427)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[200, 500])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--without-plain", action="store_true", help="ours only")
    parser.add_argument("--stack", type=Path, help="a state directory; left running")
    given = parser.parse_args(arguments)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    scratch = Path(tempfile.mkdtemp(prefix="quintet-domains-"))
    scratch.chmod(0o755)  # Postgres may run as another user
    stack = Stack(given.stack or scratch / "stack")
    try:
        start(stack, SERVICES)
        print(
            f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {datetime.now(UTC):%Y-%m-%d}"
        )
        for concurrency in given.concurrency:
            for seed in given.seeds:
                result = ours(stack, given.prompts, concurrency, seed)
                report(f"ours, seed {seed}", result, given.prompts, concurrency)
            if not given.without_plain:
                seed = given.seeds[0]
                result = plain(stack, given.prompts, concurrency, seed)
                report(f"plain, seed {seed}", result, given.prompts, concurrency)
    finally:
        if given.stack is None:
            stack.reset()
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
