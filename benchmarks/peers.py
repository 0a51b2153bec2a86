"""Virtual environments for the programs that the pipelines are measured against.

Belongs here: making one. Does not: the programs (``music_peer.py``, ``reading_beam.py``), which
import nothing of the repository, for their libraries want other versions than ours.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def interpreter(folder: Path, *packages: str) -> Path:
    """The Python of a new virtual environment in ``folder`` that has the packages.

    By uv: pip searches for hours for versions of apache-beam's dependencies that fit together.
    """
    uv = Path(sys.executable).with_name("uv")
    python = folder / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--python", python, *packages]
    subprocess.run(install, check=True)
    return python
