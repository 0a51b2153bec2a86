"""Google's own Pub/Sub emulator, where it is installed.

Belongs here: finding it and how it is started. Does not: our server (``local/pubsub_server.py``).

It is what ours is compared with, not a server of the stack: it keeps nothing across a restart,
ignores filters, moves a message to the dead-letter topic only when the next one is asked for, and
after a nack delivers the message of an ordering key behind those that follow it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from local.service import HOST, Command

#: The first version of Java that runs it.
_JAVA = 17
_INSTALLED = "platform/pubsub-emulator/lib"
#: Where packages and container images put the SDK.
_PLACES = (
    "/usr/lib/google-cloud-sdk",
    "/usr/share/google-cloud-sdk",
    "/opt/google-cloud-sdk",
    "/google-cloud-sdk",
    "/snap/google-cloud-cli/current",
)


def find_google_emulator() -> Path | None:
    """Its jar: PUBSUB_EMULATOR_JAR, else that of an installed Google Cloud SDK; None without one.

    None too when there is no Java that runs it.
    """
    named = os.environ.get("PUBSUB_EMULATOR_JAR")
    if named:
        jars = [Path(named)]
    else:
        jars = [jar for root in _sdk_roots() for jar in sorted((root / _INSTALLED).glob("*.jar"))]
    found = next((jar for jar in jars if jar.is_file()), None)
    return found if found and _java_version() >= _JAVA else None


def command(jar: Path, port: int) -> Command:
    """How it is started; it answers as soon as the port accepts."""
    return Command(["java", "-Xmx512m", "-jar", str(jar), f"--host={HOST}", f"--port={port}"])


def _sdk_roots() -> list[Path]:
    roots = [Path(place) for place in _PLACES]
    gcloud = shutil.which("gcloud")
    if gcloud:
        # …/google-cloud-sdk/bin/gcloud, often through a link.
        roots.insert(0, Path(gcloud).resolve().parent.parent)
    roots.append(Path.home() / "google-cloud-sdk")
    return roots


def _java_version() -> int:
    """The major version of the java on the path; 0 without one."""
    try:
        printed = subprocess.run(
            ["java", "-version"], capture_output=True, text=True, timeout=20, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r'version "(\d+)', printed)
    return int(found[1]) if found else 0
