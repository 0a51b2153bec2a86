"""The stack's environment file, and the ``.env`` of the repository that is linked to it.

Belongs here: how a value is written so that a shell and python-dotenv (which Dagster's commands
read ``.env`` with) read the same, and whose ``.env`` it is. Does not: the variables (`stack`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from local.service import StackError

#: What both readers take as it stands.
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+=,-]*")
#: What single quotes cannot hold: both end at a quote; python-dotenv takes a backslash away before
#: another one or a quote, and replaces ${…} inside of them, too.
_NOT_IN_SINGLE = re.compile(r"'|\\\\|\\$|\$\{")
#: A dollar in double quotes, as the default of a variable that nobody sets: in python-dotenv a
#: backslash before it would stay.
_DOLLAR = "${QUINTET_NONE:-$}"


def quoted(name: str, value: str) -> str:
    """``value`` as the right side of an assignment. Raises StackError when no quoting fits both."""
    if _PLAIN.fullmatch(value):
        return value
    if not re.search(r"[\r\0]", value):
        if not _NOT_IN_SINGLE.search(value):
            return f"'{value}'"
        if "`" not in value:
            escaped = re.sub(r'([\\"])', r"\\\1", value)
            return f'"{escaped.replace("$", _DOLLAR)}"'
    raise StackError(
        f"{name} cannot be written for a shell and for Dagster alike (a backtick beside quotes, "
        f"backslashes or ${{, or a control character): {value!r}"
    )


def rendered(variables: Mapping[str, str]) -> str:
    """One assignment a line, sorted by name."""
    return "".join(f"{name}={quoted(name, value)}\n" for name, value in sorted(variables.items()))


def write(path: Path, variables: Mapping[str, str]) -> None:
    """Write ``path``, readable by its owner only; it is complete or as it was, never half."""
    text = rendered(variables)
    scratch = path.with_name(f"{path.name}.new")
    scratch.touch(mode=0o600)
    scratch.write_text(text, "utf-8")
    scratch.replace(path)


def is_linked(link: Path, path: Path) -> bool:
    """Whether ``link`` is a link to ``path``, which need not be there."""
    return link.is_symlink() and (link.parent / link.readlink()).absolute() == path.absolute()


def refuse_anothers(link: Path, path: Path) -> None:
    """Raise StackError when ``link`` is there and no link to ``path``.

    Dagster prefers a ``.env`` to every variable that it is given: its processes would run on the
    systems that the file names, beside an embedded stack that nobody uses.
    """
    if os.path.lexists(link) and not is_linked(link, path):
        raise StackError(
            f"{link} is your own, and Dagster would work on the systems that it names instead of "
            f"the embedded stack: move it away first (mv .env .env.mine), or run Dagster with it "
            "yourself (.venv/bin/dagster dev -w workspace.yaml)"
        )


def link_to(link: Path, path: Path) -> None:
    """Make ``link`` lead to ``path``, relatively: the tree may be moved."""
    if not os.path.lexists(link):
        link.symlink_to(os.path.relpath(path, link.parent))


def unlink_from(link: Path, path: Path) -> None:
    """Remove ``link`` when it leads to ``path``."""
    if is_linked(link, path):
        link.unlink()
