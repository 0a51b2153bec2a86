"""``make demo``: every pipeline through its sensors on the embedded stack.

Belongs here: the course of the demo. Does not: what a pipeline loads and answers (``demos``).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from local.demos import DEMOS
from local.demos.asking import RefusedError, query_service
from local.demos.pipeline import Answer, Figures, Landed, PipelineDemo
from local.foreground import Failed, Foreground
from local.pipelines import selected
from local.progress import Progress, counted
from local.stack import DEFAULT_ROOT, Stack
from local.waiting import Waiting
from resources.postgres import PostgresResource

#: Seconds within which everything that landed must be processed.
TIMEOUT = 900.0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 only when every figure is right."""
    arguments = _arguments(argv)
    # It warns of the stand-in's having no clock of its own.
    logging.getLogger("pymilvus").setLevel(logging.ERROR)
    names = selected(arguments.pipelines)
    foreground = Foreground(
        Stack(DEFAULT_ROOT), "make demo", Progress().say, arguments.port, arguments.once
    )
    return foreground.run(lambda running: _demonstrate(running, names))


def _demonstrate(foreground: Foreground, names: Sequence[str]) -> int:
    began = time.monotonic()
    stack, say = foreground.stack, foreground.say
    foreground.start(names)
    # Of the other pipelines there are no servers.
    os.environ.update({**stack.env(), "QUINTET_PIPELINES": ",".join(names)})
    demos = [DEMOS[name](dict(os.environ), _data_dir(), stack.root / "demo") for name in names]
    landed = {}
    for demo in demos:
        landed[demo.name] = demo.load()
        say(f"{demo.name}: landed {counted(len(landed[demo.name]), 'object')}")
    foreground.wait_ready()
    report, problems = _run(demos, landed, foreground)
    report["seconds"] = round(time.monotonic() - began, 1)
    _write_report(stack.root / "demo-report.json", report)
    if problems:
        raise Failed("\n".join(["some figures are not right", *problems]))
    if not foreground.ends_servers:
        _stay(foreground)
    return 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="exit when all is processed")
    parser.add_argument("--pipelines", default="", help="comma-separated; all by default")
    parser.add_argument("--port", type=int, help="of the UI")
    return parser.parse_args(argv)


def _data_dir() -> Path | None:
    value = os.environ.get("QUINTET_DATA_DIR", "")
    return Path(value) if value and Path(value).is_dir() else None


def _run(
    demos: Sequence[PipelineDemo], landed: dict[str, Sequence[Landed]], foreground: Foreground
) -> tuple[dict[str, object], list[str]]:
    """Wait for every pipeline, then print and collect its figures and its answer."""
    report: dict[str, object] = {"pipelines": {}, "ui": foreground.url}
    waiting = Waiting(foreground.stack.env()["POSTGRES_URL"])
    problems: list[str] = []
    began = time.monotonic()
    for demo in demos:
        figures = _wait(demo, landed[demo.name], foreground, waiting)
        seconds = time.monotonic() - began
        found = list(demo.verify(figures))
        answer = Answer([])
        if not found:
            answer = _asked(demo, foreground)
            found += [f"asked over HTTP: {problem}" for problem in answer.problems]
        print(_table(demo.name, figures, seconds))
        print("\n".join(answer.lines) + "\n", flush=True)
        report["pipelines"][demo.name] = {  # type: ignore[index]
            **{k: v for k, v in asdict(figures).items() if k != "errors"},
            "accepted": figures.accepted,
            "seconds": round(seconds, 1),
            "answer": list(answer.lines),
            "problems": found,
        }
        problems += [f"{demo.name}: {problem}" for problem in found]
    return report, problems


def _asked(demo: PipelineDemo, foreground: Foreground) -> Answer:
    postgres = PostgresResource(url=foreground.stack.env()["POSTGRES_URL"])
    try:
        with query_service(foreground.api_url, postgres) as service:
            return demo.answer(service)
    except RefusedError as error:
        return Answer([], [str(error)])


def _wait(
    demo: PipelineDemo, landed: Sequence[Landed], foreground: Foreground, waiting: Waiting
) -> Figures:
    """Show progress, and why a batch waits, until all is processed.

    Raises:
        Failed: a batch waits for an operator, or TIMEOUT passed.
    """
    end = time.monotonic() + TIMEOUT
    shown = ""
    while time.monotonic() < end:
        foreground.check_alive()
        figures = demo.figures(landed)
        line = f"{demo.name}: {figures.processed} of {counted(figures.objects, 'object')}"
        line += "".join(f", {n:,} {what}" for what, n in figures.waiting.items() if n)
        if not figures.batches and not figures.finished:
            line += ", waiting for the sensor"
        for new in [*([line] if line != shown else []), *waiting.news()]:
            foreground.say(new)
        shown = line
        if figures.finished:
            more = demo.then()
            if not more:
                return figures
            landed = [*landed, *more]
            foreground.say(f"{demo.name}: landed {counted(len(more), 'object')} more")
        if "failed_permanent" in figures.batches.values():
            raise Failed("\n".join(figures.errors))
        time.sleep(1)
    raise Failed(f"{demo.name} was not done in {TIMEOUT:.0f} s: {shown}\n{foreground.log_end()}")


def _table(name: str, figures: Figures, seconds: float) -> str:
    rows: list[tuple[str, str]] = [
        ("objects", str(figures.objects)),
        ("rows read", f"{figures.read:,}"),
        ("accepted", f"{figures.accepted:,}"),
        ("rejected", f"{figures.rejected:,}"),
        ("superseded", f"{figures.superseded:,}"),
        ("unchanged", f"{figures.unchanged:,}"),
    ]
    rows += [
        (f"→ {sink}", f"{f.rows_written:,} rows in {f.seconds:.1f} s")
        for sink, f in figures.sinks.items()
    ]
    rows += figures.more.items()
    rows.append(("seconds", f"{seconds:.1f}"))
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label:<{width}}  {value}" for label, value in rows]
    return "\n".join([f"\n{name}", *lines, ""])


def _write_report(path: Path, report: dict[str, object]) -> None:
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    print(f"Report: {path}", flush=True)


def _stay(foreground: Foreground) -> None:
    foreground.say(f"The UI stays at {foreground.url}: Ctrl-C stops it, `make down` the servers")
    while True:
        time.sleep(1)
        foreground.check_alive()


if __name__ == "__main__":
    sys.exit(main())
