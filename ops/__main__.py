"""``python -m ops``: the operator's commands.

Belongs here: their command line. Does not: what they do (one module each).
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from assets.pipelines import without_secrets
from ops import (
    api_key,
    batches,
    doctor,
    domains_dry_run,
    image_task,
    land,
    music_match,
    music_remove,
    quarantine,
    replay,
)
from ops.environment import NotConfiguredError, load_environment

ROOT = Path(__file__).resolve().parent.parent


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "quarantine" and arguments.replay and not arguments.batch:
        parser.error("--replay needs a batch")
    tells = arguments.command == "image-task" and (arguments.cancel or arguments.resume)
    if tells and not arguments.task:
        parser.error("which task? TASK=…")
    load_environment(ROOT)
    if arguments.command == "doctor":
        return doctor.run()

    import psycopg

    try:
        return _run(arguments)
    except NotConfiguredError as error:
        print(error, file=sys.stderr)
    except psycopg.Error as error:
        text = without_secrets(str(error).strip(), os.environ)
        print(f"Postgres: {text}\n`make doctor` checks every system.", file=sys.stderr)
    return 1


def _run(arguments: argparse.Namespace) -> int:
    """One of the commands that ask Postgres."""
    of = arguments
    runs: dict[str, Callable[[], int]] = {
        "land": lambda: land.run(of.file, of.pipeline),
        "batches": lambda: batches.run(limit=of.limit),
        "quarantine": lambda: quarantine.run(of.batch, replay=of.replay, limit=of.limit),
        "domains-dry-run": lambda: domains_dry_run.run(of.month),
        "image-task": lambda: image_task.run(of.task, cancel=of.cancel, resume=of.resume),
        "music-remove": lambda: music_remove.run(of.song, of.file, undo=of.undo, why=of.why),
        "music-match": lambda: music_match.run(
            of.song, of.other, apart=of.apart, undo=of.undo, why=of.why
        ),
        "replay": lambda: replay.run(of.batch),
        "api-key": lambda: api_key.run(
            of.name, of.scopes.split(","), per_minute=of.per_minute, revoke=of.revoke
        ),
    }
    return runs[of.command]()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ops", description="The operator's commands.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="check every configured system through its real client")
    shown = commands.add_parser("quarantine", help="list, show or replay rejected rows")
    shown.add_argument("batch", nargs="?", help="batch id; without it all quarantined batches")
    shown.add_argument(
        "--replay", action="store_true", help="let this batch's rejects arrive again"
    )
    shown.add_argument("--limit", type=int, default=20, help="rows shown (default 20)")
    open_ones = commands.add_parser("batches", help="what is not loaded yet, and why")
    open_ones.add_argument("--limit", type=int, default=50, help="batches shown (default 50)")
    own = commands.add_parser("land", help="put a file where its pipeline's sensor looks")
    own.add_argument("file")
    own.add_argument("pipeline")
    dry = commands.add_parser("domains-dry-run", help="what a month would ask, and what it costs")
    dry.add_argument("month")
    task = commands.add_parser("image-task", help="how image tasks get on; cancel or resume one")
    task.add_argument("task", nargs="?", help="of one; without it the latest")
    does = task.add_mutually_exclusive_group()
    does.add_argument("--cancel", action="store_true", help="let it end where it is")
    does.add_argument("--resume", action="store_true", help="let a cancelled one go on")
    remove = commands.add_parser("music-remove", help="take a song or a file of music down")
    which = remove.add_mutually_exclusive_group(required=True)
    which.add_argument("--song", help="its song_key")
    which.add_argument("--file", help="its key in the raw bucket")
    remove.add_argument("--why", default="taken down by an operator", help="kept with it")
    remove.add_argument("--undo", action="store_true", help="let it come back")
    match = commands.add_parser("music-match", help="which songs match; join or split two")
    match.add_argument("--song", help="a key; without it what nearly matches")
    match.add_argument("--other", help="another key, to be the same song")
    match.add_argument("--apart", action="store_true", help="to be another song instead")
    match.add_argument("--why", default="decided by an operator", help="kept with it")
    match.add_argument("--undo", action="store_true", help="let the files decide again")
    key = commands.add_parser("api-key", help="make or revoke a key of the query service")
    key.add_argument("--name", help="whose it is; without it the keys that open")
    key.add_argument("--scopes", default="read", help="of read,write,admin (default read)")
    key.add_argument("--per-minute", type=int, default=600, help="requests (default 600)")
    key.add_argument("--revoke", help="the id of one, to open nothing any more")
    again = commands.add_parser("replay", help="request batches again")
    again.add_argument("batch", nargs="?", help="batch id; without it all that failed")
    return parser


def answer(argv: Sequence[str] | None = None) -> int:
    """As ``main``; 0 as well when whoever reads has seen enough (``… | head -1``)."""
    try:
        code = main(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        return 0
    return code


if __name__ == "__main__":
    code = answer()
    # At once: the threads of a client that still waits for its server must not be waited for.
    os._exit(code)
