"""Every command of the README and of `docs/`, run as it stands there in a copy of the tree.

What a reader can only do by hand is left out: the test suite itself, cloning, commands that stay in
the foreground until Ctrl-C, and what prepares a project at Google. A bare `make demo` is run with
ONCE=1. Batches are named as an example's: one that the demo has loaded takes its place.
"""

from __future__ import annotations

import re
import shlex

import pytest

from local.demos import DEMOS
from tests.e2e.copied_tree import REPOSITORY, Tree, copied_tree

#: Seconds for the slowest command, a whole demo, on a machine that is busy with other tests.
TIMEOUT = 900

_BLOCK = re.compile(r"^```(?:bash|sh|shell|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_BATCH = re.compile(r"\d{8}T\d{6}Z-\d{4}")
#: In a line of the demo, in a list, in a batch's own title. The documents' examples are campaigns.
_OF_CAMPAIGNS = re.compile(
    rf"(?<=campaigns ){_BATCH.pattern}|{_BATCH.pattern}(?= +(?:of )?campaigns)"
)
_INLINE = re.compile(r"`((?:make|dagster|\.venv/bin/\S+)\s[^`]+)`")
_BY_HAND = ("make test", "make check", "make dev", "git clone", "cd ", "source ")
#: In a project at Google: the embedded servers make their topics themselves.
_AT_GOOGLE = ("gcloud ", "for topic in ", "done")
_NEEDS_STACK = (
    "make doctor",
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
    return any(other.startswith(f"{command} FILE=") for other in listed)


def documented() -> list[str]:
    """All commands of the README and then of the documents, each once."""
    texts = [(REPOSITORY / "README.md").read_text("utf-8")]
    texts += [path.read_text("utf-8") for path in sorted((REPOSITORY / "docs").rglob("*.md"))]
    found = [command for text in texts[:1] for command in commands(text)]
    found += [command for text in texts[1:] for command in (*commands(text), *inline(text))]
    return list(dict.fromkeys(c for c in found if not is_short_form(c, found)))


def as_run(command: str) -> str | None:
    """What is run for a documented command; None for what is done by hand."""
    if command.startswith((*_BY_HAND, *_AT_GOOGLE)):
        return None
    words = command.split()
    if "make" in words and "demo" in words and not any(w.startswith("ONCE=") for w in words):
        return f"{command} ONCE=1"
    return command


def repeated(command: str, listed: list[str]) -> bool:
    """Whether a bare demo is what another listed demo does by naming every pipeline."""
    everything = {f"PIPELINES={','.join(DEMOS)}"}
    others = [set(other.split()) for other in listed if "demo" in other and other != command]
    return command == "make demo" and any(everything <= words for words in others)


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


@pytest.mark.parametrize(
    ("command", "run"),
    [
        ("make demo", "make demo ONCE=1"),
        ("make demo PIPELINES=campaigns", "make demo PIPELINES=campaigns ONCE=1"),
        ("make demo ONCE=1", "make demo ONCE=1"),
        ("make test", None),
        ("git clone https://example.org/quintet", None),
        ("make doctor", "make doctor"),
    ],
)
def test_what_is_run_for_a_command(command, run):
    assert as_run(command) == run


@pytest.mark.xdist_group("daemon")
@pytest.mark.timeout(2_400)
def test_every_documented_command_works():
    listed = documented()
    assert "make demo" in listed, "the README's first command"
    batch: str | None = None
    stack_is_up = False
    done: set[str] = set()
    run = [command for command in listed if not repeated(command, listed)]
    with copied_tree() as tree:
        for written in filter(None, map(as_run, run)):
            command = written
            if command.startswith(_NEEDS_STACK) and not stack_is_up:
                # A reader's `make demo` has left the servers up; ONCE=1 has not.
                succeed(tree, "make up")
                stack_is_up = True
            if "…" in command or _BATCH.search(command):
                assert batch, f"no batch was named before: {command}"
                command = _BATCH.sub(batch, command.replace("…", batch))
            if command in done and command != "make up":
                continue
            done.add(command)
            output = succeed(tree, command)
            named = _OF_CAMPAIGNS.search(output)
            batch = named.group() if named else batch
            if command.startswith("make up"):
                stack_is_up = True
            elif "demo" in command or command.startswith(("make down", "make reset")):
                stack_is_up = False
                assert tree.processes() == [], f"{command} left processes"
        assert any("demo" in command for command in done)
        assert any("backfill" in command for command in done)
        succeed(tree, "make down")
        assert tree.processes() == []


def succeed(tree: Tree, command: str) -> str:
    ended = tree.run(command, timeout=TIMEOUT)
    assert ended.code == 0, f"{command} ended with {ended.code}:\n{ended.output[-6_000:]}"
    return ended.output
