"""Every command of the README and of `docs/`, run as it stands there in a copy of the tree.

`make dev` runs beside what follows it in its block, as in a reader's first terminal, until Ctrl-C.
Of others that serve only the help is asked.
Left out is what `.ci/run` runs as it stands (the demo, the tests), cloning, and what prepares a
project at Google. Batches are named as an example's: the one that the block has landed takes its
place.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import time
from collections.abc import Iterator

import pytest

from local.service import REPOSITORY
from tests import processes
from tests.e2e.copied_tree import Tree, copied_tree

#: Seconds for the slowest command, the start of all servers, on a machine that is busy with tests.
TIMEOUT = 400
#: Seconds until a landed file is loaded, its run's start included.
LOADED = 300

_BLOCK = re.compile(r"^```(?:bash|sh|shell|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BATCH = re.compile(r"\d{8}T\d{6}Z-\d{4}")
#: In a line of the demo, in a list, in a batch's own title. The documents' examples are campaigns.
_OF_CAMPAIGNS = re.compile(
    rf"(?<=campaigns ){_BATCH.pattern}|{_BATCH.pattern}(?= +(?:of )?campaigns)"
)
_INLINE = re.compile(r"`((?:make|dagster|\.venv/bin/\S+)\s[^`]+)`")
_DEV = "make dev"
IMAGE_TASK = "men-fall-2010"
SONG = "SOMZWCG12A8C13C480"
#: They serve until somebody ends them, or stand for several commands: that they exist is looked at.
_SERVING = ("dagster dev", "dagster code-server", ".venv/bin/python -m api")
_OF_CI = ("make demo", "make test")
_BY_HAND = (*_OF_CI, "make check", "git clone", "cd ", "source ")
#: In a project at Google: the embedded servers make their topics themselves.
_AT_GOOGLE = ("gcloud ", "for topic in ", "done")
_NEEDS_STACK = (
    "make doctor",
    "make image-task",
    "make music-remove",
    "make music-match",
    "make api-key",
    "make domains-dry-run",
    "make land",
    "make status",
    "make quarantine",
    "make replay",
    "dagster ",
    ".venv/bin/",
)


def commands(markdown: str) -> list[str]:
    """The distinct shell commands of a text, in order, without prompts and comments."""
    found = []
    for block in _BLOCK.findall(markdown):
        for line in block.replace("\\\n", " ").splitlines():
            command = " ".join(shlex.split(line, comments=True, posix=False))
            command = command.removeprefix("$ ")
            if command and command not in found:
                found.append(command)
    return found


def inline(markdown: str) -> list[str]:
    """The distinct commands of a text's running lines; `make …` alone only names the tool."""
    outside = _BLOCK.sub("", markdown)
    found = (" ".join(command.split()) for command in _INLINE.findall(outside))
    return list(dict.fromkeys(c for c in found if c.split()[1] != "…"))


def is_short_form(command: str, listed: list[str]) -> bool:
    """Whether it only names a command that cannot go without variables, which stand elsewhere."""
    return any(other.startswith((f"{command} FILE=", f"{command} SONG=")) for other in listed)


def documented() -> list[str]:
    """All commands of the README and then of the documents, each once."""
    texts = [(REPOSITORY / "README.md").read_text("utf-8")]
    texts += [path.read_text("utf-8") for path in sorted((REPOSITORY / "docs").rglob("*.md"))]
    found = [command for text in texts[:1] for command in commands(text)]
    found += [command for text in texts[1:] for command in (*commands(text), *inline(text))]
    return list(dict.fromkeys(c for c in found if not is_short_form(c, found)))


def is_run(command: str) -> bool:
    """Whether a documented command is run here."""
    return not command.startswith((*_BY_HAND, *_AT_GOOGLE))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```bash\nmake demo   # all\n\nmake up\nmake demo\n```\n", ["make demo", "make up"]),
        ("```\nno shell\n```\n```bash\n$ make a \\\n  B=1\n```\n", ["make a B=1"]),
        ("make demo\n", []),
    ],
)
def test_commands_are_those_of_the_shell_blocks(text, found):
    assert commands(text) == found


def test_commands_stand_in_running_lines_too():
    text = "`make up`, `make\nreplay B=1`; `dagster …`, `dagster.yaml`\n```bash\n`make no`\n```\n"
    assert inline(text) == ["make up", "make replay B=1"]
    assert {"dagster job launch --job reading_dataflow", "make doctor"} <= {*documented()}


def test_what_is_left_out_is_run_by_ci():
    script = (REPOSITORY / ".ci" / "run").read_text("utf-8").splitlines()
    commands_of_ci = [line.strip() for line in script]
    assert "make demo ONCE=1" in commands_of_ci
    assert "make test" in commands_of_ci
    left_out = [command for command in documented() if not is_run(command)]
    assert all(command.startswith((*_OF_CI, *_AT_GOOGLE)) for command in left_out), left_out


@pytest.mark.xdist_group("daemon")
@pytest.mark.timeout(1_800)
def test_every_documented_command_works():
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    batch: str | None = None
    stack_is_up = False
    done: set[str] = set()
    asked = False
    with copied_tree() as tree, contextlib.ExitStack() as dev:
        for written in filter(is_run, documented()):
            command = written
            if command.startswith(_DEV):
                dev.enter_context(developing(tree, command))
                stack_is_up = True
                continue
            if command not in block_of(_DEV, readme):
                dev.close()
            if command.startswith(_NEEDS_STACK) and not stack_is_up:
                succeed(tree, "make up")
                stack_is_up = True
            if "--job music " in command:
                # Dagster ends "all" of no partition in a traceback.
                tree.add_partition("music_batches", "20261122T101503Z-0002")
            if "--job images " in command or IMAGE_TASK in command:
                asked = asked or ask_for_images(tree)
            if SONG in command and command not in done:
                tree.tell_of_song(SONG)
            if "…" in command or _BATCH.search(command):
                assert batch, f"no batch was named before: {command}"
                command = _BATCH.sub(batch, command.replace("…", batch))
            if command.startswith(_SERVING):
                command += " --help"
            if command in done and command != "make up":
                continue
            done.add(command)
            output = succeed(tree, command)
            end = time.monotonic() + LOADED
            while command == "make quarantine" and not batch:
                # What was landed is on its way.
                assert time.monotonic() < end, output
                time.sleep(2)
                output = succeed(tree, command)
                named = _OF_CAMPAIGNS.search(output)
                batch = named.group() if named else None
            if command.startswith("make up"):
                stack_is_up = True
            elif command.startswith(("make down", "make reset")):
                stack_is_up = False
                assert tree.processes() == [], f"{command} left processes"
        assert batch
        assert any("backfill" in command for command in done)
        succeed(tree, "make down")
        assert tree.processes() == []


def ask_for_images(tree: Tree) -> bool:
    """The task that the documents name, as its request leaves it."""
    tree.add_partition("image_tasks", IMAGE_TASK)
    tree.ask_for_images(IMAGE_TASK)
    return True


def block_of(command: str, markdown: str) -> list[str]:
    """The commands of the block in which a command of this start stands."""
    blocks = (commands(found.group()) for found in _BLOCK.finditer(markdown))
    return next(block for block in blocks if any(one.startswith(command) for one in block))


@contextlib.contextmanager
def developing(tree: Tree, command: str) -> Iterator[None]:
    """`make dev` in a terminal of its own, from its UI's address until Ctrl-C."""
    log = tree.root.parent / "dev.log"
    with log.open("wb") as output:
        process = processes.start(
            ["bash", "-c", f"exec {command}"],
            cwd=tree.root,
            env=tree.environment(),
            stdout=output,
            stderr=processes.STDOUT,
            start_new_session=True,
        )
    end = time.monotonic() + TIMEOUT
    while b"Dagster UI: http://" not in log.read_bytes():
        assert process.poll() is None, log.read_text("utf-8")
        assert time.monotonic() < end, log.read_text("utf-8")
        time.sleep(0.5)
    yield
    # Of the terminal's whole foreground group, as the keyboard does it.
    os.killpg(process.pid, signal.SIGINT)
    process.wait(120)
    text = log.read_text("utf-8")
    assert "Traceback" not in text
    assert " ended; " in text, text[-2_000:]


def succeed(tree: Tree, command: str) -> str:
    end = time.monotonic() + LOADED
    ended = tree.run(command, timeout=TIMEOUT)
    # A reader is slower: the batch is loaded when they ask for it again.
    while "it will run without being asked" in ended.output and time.monotonic() < end:
        time.sleep(2)
        ended = tree.run(command, timeout=TIMEOUT)
    assert ended.code == 0, f"{command} ended with {ended.code}:\n{ended.output[-6_000:]}"
    return ended.output
