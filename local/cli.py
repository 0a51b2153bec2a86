"""Command line of the stack: up, down, reset, status, env.

Belongs here: arguments and what is printed. Does not: any behaviour (`local.stack`).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from local.environment_file import rendered
from local.pipelines import needed_by, selected
from local.progress import Progress, counted, leave_quietly
from local.service import StackError
from local.stack import DEFAULT_ROOT, Stack

_MEGABYTE = 1 << 20


def main(arguments: list[str]) -> int:
    """Run one command; 0 when it did all that was asked."""
    parser = argparse.ArgumentParser(prog="python -m local", description="The embedded stack.")
    parser.add_argument("command", choices=tuple(_COMMANDS))
    parser.add_argument("--services", help="names, separated by commas (all by default)")
    parser.add_argument("--pipelines", help="only what these need, separated by commas")
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT, help="state directory")
    options = parser.parse_args(arguments)
    stack = Stack(options.root)
    stack.supervisor.say = Progress().say
    try:
        code = _COMMANDS[options.command](stack, options)
        sys.stdout.flush()
    except StackError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: `make status` shows what runs, `make down` stops it", file=sys.stderr)
        return 130
    except BrokenPipeError:  # ``| head`` has read enough
        return leave_quietly()
    return code


def _up(stack: Stack, options: argparse.Namespace) -> int:
    pipelines = None if options.services else selected(options.pipelines)
    names = _names(options) or needed_by(pipelines or ())
    began = time.monotonic()
    stack.supervisor.say(f"starting {counted(len(names), 'server')}")
    results = stack.up(names, pipelines)
    for result in results:
        if result.error:
            print(f"\n{result.error}\n", file=sys.stderr)
    failed = [result.service for result in results if result.error]
    if failed:
        print(f"failed: {', '.join(failed)}; the others are up", file=sys.stderr)
        return 1
    print(
        f"{counted(len(results), 'server')} in {time.monotonic() - began:.1f} s; variables in "
        f"{stack.root / 'env'}"
    )
    return 0


def _down(stack: Stack, options: argparse.Namespace) -> int:
    stopped = stack.down(_names(options))
    print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    return 0


def _reset(stack: Stack, options: argparse.Namespace) -> int:
    if options.services:
        raise StackError("reset removes the state of every server: leave --services out")
    rows = [*stack.dagster_status(), *stack.status()]
    running = [f"{row.service} (pid {row.pid})" for row in rows if row.pid]
    if running:
        print(f"this ends {', '.join(running)}\nand removes their data in {stack.root}")
        if sys.stdin.isatty() and input("go on? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was ended or removed")
            return 1
    stack.reset()
    print(f"state removed from {stack.root}")
    return 0


def _status(stack: Stack, options: argparse.Namespace) -> int:
    names = _names(options)
    print(f"{'service':14} {'state':9} {'pid':>8} {'port':>12} {'memory':>8}  log")
    for row in [*stack.dagster_status(), *stack.status()]:
        if names and row.service not in names:
            continue
        ports = ",".join(str(port) for port in row.ports) or "-"
        memory = f"{row.memory / _MEGABYTE:.0f} MB" if row.pid else "-"
        print(
            f"{row.service:14} {row.state:9} {row.pid or '-':>8} {ports:>12} {memory:>8}  {row.log}"
        )
    return 0


def _env(stack: Stack, _options: argparse.Namespace) -> int:
    print(rendered(stack.env()), end="")
    return 0


def _names(options: argparse.Namespace) -> list[str] | None:
    return [name.strip() for name in options.services.split(",")] if options.services else None


_COMMANDS = {"up": _up, "down": _down, "reset": _reset, "status": _status, "env": _env}
