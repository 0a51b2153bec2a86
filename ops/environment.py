"""The variables that the operator's commands run with: the process's own, else the ``.env`` file.

Belongs here: reading ``.env`` as Dagster's commands do. Does not: defaults (``resources``).
"""

from __future__ import annotations

import os
from pathlib import Path

from resources.environment import apply_defaults


class NotConfiguredError(Exception):
    """A variable that a command needs is not set."""


def load_environment(root: Path) -> None:
    """Set what ``root/.env`` names and the process does not, then the defaults.

    Lines are ``KEY=VALUE``; blank ones and those that start with ``#`` are passed over.
    """
    file = root / ".env"
    if file.exists():
        for line in file.read_text("utf-8").splitlines():
            name, separator, value = line.partition("=")
            if separator and not line.lstrip().startswith("#"):
                os.environ.setdefault(name.strip(), value.strip())
    apply_defaults()


def require(name: str) -> str:
    """The value of a variable. Raises NotConfiguredError when it is unset or empty."""
    value = os.environ.get(name)
    if not value:
        raise NotConfiguredError(f"{name} is not set: see .env.example, or run `make up`")
    return value
