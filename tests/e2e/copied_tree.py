"""A copy of the repository with the environments of the original, and commands run in it.

Belongs here: making it, running shell commands in it, and leaving nothing of it behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.service import REPOSITORY
from tests import processes

_PREFIX = "quintet-tree-"
_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".local", ".env", "__pycache__", ".*_cache", ".hypothesis", ".output"
)


@dataclass(frozen=True)
class Ended:
    """A command that ended by itself; ``output`` is stdout and stderr together."""

    command: str
    code: int
    output: str


@dataclass(frozen=True)
class Tree:
    """The copy, and the whole environment that commands in it get."""

    root: Path
    home: Path

    def run(
        self, command: str, *, timeout: float, variables: Mapping[str, str] | None = None
    ) -> Ended:
        """Run a shell command as a user would who has only just opened a terminal there.

        Raises TimeoutExpired, with all that the command started ended.
        """
        with tempfile.TemporaryFile() as output:
            process = processes.start(
                ["bash", "-c", command],
                cwd=self.root,
                env={**self.environment(), **(variables or {})},
                stdout=output,
                stderr=processes.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout)
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                output.seek(0)
                print(output.read().decode(errors="replace")[-4_000:])
                raise
            output.seek(0)
            return Ended(command, code, output.read().decode(errors="replace"))

    def add_partition(self, partitions: str, key: str) -> None:
        """As a sensor does when a file has landed. The tree's Postgres must be up."""
        code = (
            "import os\n"
            "import dagster as dg\n"
            "from dotenv import dotenv_values\n"
            "os.environ.update(dotenv_values('.env'))\n"
            "with dg.DagsterInstance.get() as instance:\n"
            f"    instance.add_dynamic_partitions('{partitions}', ['{key}'])\n"
        )
        made = self.run(f'.venv/bin/python -c "{code}"', timeout=60)
        assert made.code == 0, made.output

    def ask_for_images(self, task: str) -> None:
        """As a request's run does that has not begun to work. The tree's Postgres must be up."""
        self._insert(
            "images.image_task (task_id, request, request_hash, source, requested_at)",
            f"('{task}', '{{}}', '', '', now())",
        )

    def tell_of_song(self, song_key: str) -> None:
        """As silver does by the record of a file. The tree's Postgres must be up."""
        self._insert(
            "music.song_source (record_key, song_key, format, rank, seq, row_hash, source, line)",
            f"('of a file', '{song_key}', 'hdf5', 1, 1, '', '', 1)",
        )

    def _insert(self, into: str, values: str) -> None:
        code = (
            "import psycopg\n"
            "from dotenv import dotenv_values\n"
            "with psycopg.connect(dotenv_values('.env')['POSTGRES_URL']) as connection:\n"
            f"    connection.execute('''INSERT INTO {into} VALUES {values}''')\n"
        )
        made = self.run(f'.venv/bin/python -c "{code}"', timeout=60)
        assert made.code == 0, made.output

    def environment(self) -> dict[str, str]:
        """What a terminal has that has only just been opened."""
        return {
            "PATH": f"{self.root}/.venv/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.home),
        }

    def processes(self) -> list[psutil.Process]:
        """Everything that runs in or from the copy."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.root) in " ".join([process.cwd(), *process.cmdline()]):
                    found.append(process)
        return found

    def kill(self) -> None:
        """Kill -9 of everything that runs in or from the copy."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()


@contextlib.contextmanager
def copied_tree(folder: str = "quintet") -> Iterator[Tree]:
    """A fresh copy; at the end everything that was started in it is stopped and it is removed."""
    _sweep()
    # A short path: Unix sockets below it have about 100 characters.
    prefix = f"{_PREFIX}{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as place:
        # Readable by all: where the tests run as root, Postgres runs as somebody else.
        Path(place).chmod(0o755)
        root = Path(place).resolve() / folder
        shutil.copytree(REPOSITORY, root, ignore=_LEFT_OUT, symlinks=True)
        (root / ".venv").symlink_to(REPOSITORY / ".venv")
        (root / ".local").mkdir()
        (root / ".local" / "servers").symlink_to(REPOSITORY / ".local" / "servers")
        # Older than what they were installed as, so that make leaves the environments alone.
        for project in (root, root / "local" / "servers"):
            for name in ("uv.lock", "pyproject.toml"):
                os.utime(project / name, (0, 0))
        home = Path(place) / "home"
        home.mkdir()
        tree = Tree(root, home)
        try:
            yield tree
        finally:
            try:
                tree.run("make down", timeout=60)
            finally:
                tree.kill()


def _sweep() -> None:
    """Stop and remove the copies of test sessions that were killed."""
    for place in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = place.name.removeprefix(_PREFIX).partition("-")[0]
        if not (owner.isdigit() and psutil.pid_exists(int(owner))):
            Tree(place.resolve(), place).kill()
            shutil.rmtree(place, ignore_errors=True)
