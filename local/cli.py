"""Command line of the stack: up, down, reset, status, env.

Belongs here: arguments and what is printed. Does not: any behaviour (`local.stack`).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from local.environment_file import rendered
from local.service import StackError
from local.stack import DEFAULT_ROOT, Stack

_MEGABYTE = 1 << 20


def main(arguments: list[str]) -> int:
    """Run one command; 0 when it did all that was asked."""
    parser = argparse.ArgumentParser(prog="python -m local", description="The embedded stack.")
    parser.add_argument("command", choices=("up", "down", "reset", "status", "env"))
    parser.add_argument("--services", help="names, separated by commas (all by default)")
    parser.add_argument("--root", type=Path, default=DEFAULT_ROOT, help="state directory")
    options = parser.parse_args(arguments)
    names = [name.strip() for name in options.services.split(",")] if options.services else None
    stack = Stack(options.root)
    try:
        return _COMMANDS[options.command](stack, names)
    except StackError as error:
        print(error, file=sys.stderr)
        return 1


def _up(stack: Stack, names: list[str] | None) -> int:
    began = time.monotonic()
    results = stack.up(names)
    for result in results:
        if result.error:
            print(f"\n{result.error}\n", file=sys.stderr)
        elif result.already:
            print(f"{result.service:10} already running")
        else:
            print(f"{result.service:10} ready after {result.seconds:.1f} s")
    failed = [result.service for result in results if result.error]
    if failed:
        print(f"failed: {', '.join(failed)}; the others are up", file=sys.stderr)
        return 1
    print(
        f"{len(results)} servers in {time.monotonic() - began:.1f} s; variables in "
        f"{stack.root / 'env'}"
    )
    return 0


def _down(stack: Stack, names: list[str] | None) -> int:
    stopped = stack.down(names)
    print(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")
    return 0


def _reset(stack: Stack, names: list[str] | None) -> int:
    if names:
        raise StackError("reset removes the state of every server: leave --services out")
    stack.reset()
    print(f"state removed from {stack.root}")
    return 0


def _status(stack: Stack, names: list[str] | None) -> int:
    print(f"{'service':10} {'state':9} {'pid':>8} {'port':>12} {'memory':>8}  log")
    for row in stack.status():
        if names and row.service not in names:
            continue
        ports = ",".join(str(port) for port in row.ports) or "-"
        memory = f"{row.memory / _MEGABYTE:.0f} MB" if row.pid else "-"
        print(
            f"{row.service:10} {row.state:9} {row.pid or '-':>8} {ports:>12} {memory:>8}  {row.log}"
        )
    return 0


def _env(stack: Stack, _names: list[str] | None) -> int:
    print(rendered(stack.env()), end="")
    return 0


_COMMANDS = {"up": _up, "down": _down, "reset": _reset, "status": _status, "env": _env}
