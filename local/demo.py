"""``make demo``: every pipeline through its sensors on the embedded stack.

Belongs here: the course of the demo. Does not: what a pipeline loads and answers (``demos``).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from local.dagster_processes import DagsterDied, DagsterProcesses
from local.demos import DEMOS
from local.demos.pipeline import Figures, Landed, PipelineDemo
from local.service import StackError
from local.stack import DEFAULT_ROOT, Stack

#: Seconds within which everything that landed must be processed.
TIMEOUT = 900.0


class DemoFailed(RuntimeError):
    """Something of the demo is not as it should be."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; 0 only when every figure is right."""
    arguments = _arguments(argv)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts background jobs without SIGINT
        signal.signal(number, signal.default_int_handler)
    # It warns of the stand-in's having no clock of its own.
    logging.getLogger("pymilvus").setLevel(logging.ERROR)
    names = _selected(arguments.pipelines)
    started = time.monotonic()
    stack = Stack(DEFAULT_ROOT)
    services = sorted({s for name in names for s in DEMOS[name].services})
    dagster: DagsterProcesses | None = None
    try:
        _start(stack, services)
        # Of the other pipelines there are no servers.
        variables = {**stack.env(), "QUINTET_PIPELINES": ",".join(names)}
        os.environ.update(variables)
        env = dict(os.environ)
        demos = [DEMOS[name](env, _data_dir(), stack.root / "demo") for name in names]
        dagster = DagsterProcesses(env=env, logs=stack.root / "logs")
        print("Starting Dagster's webserver and daemon …", flush=True)
        dagster.start()
        landed = {demo.name: demo.load() for demo in demos}
        dagster.wait_ready()
        print(f"Dagster UI: {dagster.url}", flush=True)
        report, problems = _run(demos, landed, dagster)
        report["seconds"] = round(time.monotonic() - started, 1)
        _write_report(stack.root / "demo-report.json", report)
        if problems:
            print("\nThe demo failed:\n" + "\n".join(problems), file=sys.stderr)
            return 1
        if not arguments.once:
            _stay(dagster)
    except KeyboardInterrupt:
        return 130
    except (DemoFailed, DagsterDied, StackError, TimeoutError) as error:
        print(f"\nThe demo failed:\n{error}", file=sys.stderr)
        return 1
    finally:
        if dagster is not None:
            dagster.stop()
        if arguments.once:
            stack.down()
    return 0


def _start(stack: Stack, services: Sequence[str]) -> None:
    """Bring the servers up.

    Raises:
        DemoFailed: one did not start; the message has the end of its log.
    """
    print(f"Starting {', '.join(services)} …", flush=True)
    errors = [started.error for started in stack.up(services) if started.error]
    if errors:
        raise DemoFailed("\n".join(errors))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="exit when all is processed")
    parser.add_argument("--pipelines", default="", help="comma-separated; all by default")
    return parser.parse_args(argv)


def _selected(pipelines: str) -> list[str]:
    names = [name.strip() for name in pipelines.split(",") if name.strip()] or list(DEMOS)
    unknown = [name for name in names if name not in DEMOS]
    if unknown:
        sys.exit(f"Unknown pipeline: {', '.join(unknown)}. There are: {', '.join(DEMOS)}.")
    return list(dict.fromkeys(names))


def _data_dir() -> Path | None:
    value = os.environ.get("QUINTET_DATA_DIR", "")
    return Path(value) if value and Path(value).is_dir() else None


def _run(
    demos: Sequence[PipelineDemo], landed: dict[str, Sequence[Landed]], dagster: DagsterProcesses
) -> tuple[dict[str, object], list[str]]:
    """Wait for every pipeline, then print and collect its figures and its answer."""
    report: dict[str, object] = {"pipelines": {}, "ui": dagster.url}
    problems: list[str] = []
    began = time.monotonic()
    for demo in demos:
        figures = _wait(demo, landed[demo.name], dagster)
        seconds = time.monotonic() - began
        found = list(demo.verify(figures))
        problems += [f"{demo.name}: {problem}" for problem in found]
        answer = demo.answer() if not found else []
        print(_table(demo.name, figures, seconds))
        print("\n".join(answer) + "\n", flush=True)
        report["pipelines"][demo.name] = {  # type: ignore[index]
            **{k: v for k, v in asdict(figures).items() if k != "errors"},
            "accepted": figures.accepted,
            "seconds": round(seconds, 1),
            "answer": list(answer),
            "problems": found,
        }
    return report, problems


def _wait(demo: PipelineDemo, landed: Sequence[Landed], dagster: DagsterProcesses) -> Figures:
    """Show progress until all is processed.

    Raises:
        DemoFailed: a batch waits for an operator.
        TimeoutError: TIMEOUT passed.
    """
    end = time.monotonic() + TIMEOUT
    shown = ""
    while time.monotonic() < end:
        dagster.check_alive()
        figures = demo.figures(landed)
        states = ", ".join(f"{batch} {state}" for batch, state in figures.batches.items())
        states = states or "waiting for the sensor"
        line = f"  {demo.name}: {figures.processed}/{figures.objects} objects, {states}"
        line += "".join(f", {n:,} {what}" for what, n in figures.waiting.items() if n)
        if line != shown:
            print(line, flush=True)
            shown = line
        if figures.finished:
            return figures
        if "failed_permanent" in figures.batches.values():
            raise DemoFailed("\n".join(figures.errors))
        time.sleep(1)
    raise TimeoutError(
        f"{demo.name} was not done in {TIMEOUT:.0f} s: {shown}\n{dagster.log_end('daemon')}"
    )


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


def _stay(dagster: DagsterProcesses) -> None:
    print(f"The UI stays at {dagster.url}. Ctrl-C stops it, `make down` the servers.", flush=True)
    while True:
        time.sleep(1)
        dagster.check_alive()


if __name__ == "__main__":
    sys.exit(main())
