"""The variables that the operator's commands run with: the ``.env`` file's, else the process's own.

Belongs here: reading ``.env`` as Dagster's commands do. Does not: defaults (``resources``).
"""

from __future__ import annotations

import os
from pathlib import Path

from assets.pipelines import apply_defaults


class NotConfiguredError(Exception):
    """A variable that a command needs is not set."""


def load_environment(root: Path) -> None:
    """Set what ``root/.env`` names, over what the process has, then the defaults.

    Dagster's commands let the file win, too: a doctor with the order turned round would look at
    other systems than the daemon that was started beside it.
    """
    from dotenv import dotenv_values

    for name, value in dotenv_values(root / ".env").items():
        if value is not None:
            os.environ[name] = value
    apply_defaults()


def require(name: str) -> str:
    """The value of a variable. Raises NotConfiguredError when it is unset or empty."""
    value = os.environ.get(name)
    if not value:
        raise NotConfiguredError(f"{name} is not set: see .env.example, or run `make up`")
    return value
