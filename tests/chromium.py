"""Debian's Chromium for tests: found, or installed where that is possible.

Belongs here: the browser and how it is started. Does not: any page.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests import processes

_INSTALL = "apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium"
#: It runs as root in a container, and asks nobody outside for anything.
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip


def require() -> str:
    """Its path: installed where it is missing; skip where that is impossible, but never in CI."""
    found = _found()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        processes.run(["bash", "-c", _INSTALL], env=environment, cwd=Path("/"), timeout=500)
        found = _found()
    if found is not None:
        return found
    reason = "Chromium is not installed: `apt-get install chromium` as root, or set CHROMIUM"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def running() -> Iterator[Browser]:
    """One for the time of the block."""
    path = require()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*_ARGUMENTS])
        try:
            yield browser
        finally:
            browser.close()


def _found() -> str | None:
    return os.environ.get("CHROMIUM") or shutil.which("chromium")
