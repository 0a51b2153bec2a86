"""Milvus: milvus-lite as a server, so that several processes may use it at once.

Belongs here: the server's declaration. Does not: the corrections of our launcher
``local/milvus_server.py``.
"""

from __future__ import annotations

from local.service import HOST, REPOSITORY, Command, Place, Service, accepts


def _command(place: Place) -> Command:
    data = place.data("milvus")
    return Command(
        [
            str(place.python),
            "-P",
            str(REPOSITORY / "local" / "milvus_server.py"),
            # The default host is every interface.
            "server",
            "--data-dir",
            str(data / "db"),
            "--host",
            HOST,
            "--port",
            str(place.ports["milvus"]),
            "--max-workers",
            "16",
        ],
        directory=data,
    )


def _prepare(place: Place) -> None:
    place.data("milvus").mkdir(parents=True, exist_ok=True)


def _ready(place: Place) -> bool:
    if not accepts(place.ports["milvus"]):
        return False
    import grpc

    with grpc.insecure_channel(f"{HOST}:{place.ports['milvus']}") as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=2)
        except grpc.FutureTimeoutError:
            return False
    return True


def _variables(place: Place) -> dict[str, str]:
    return {
        "MILVUS_URI": f"http://{HOST}:{place.ports['milvus']}",
        "MILVUS_TOKEN": "",
        "CAMPAIGNS_MILVUS_MESSAGES": "user_messages",
        "CAMPAIGNS_MILVUS_PROFILES": "user_profiles",
        "MUSIC_MILVUS_LYRICS": "lyrics",
    }


SERVICE = Service(
    name="milvus",
    systems=("Milvus",),
    ports=("milvus",),
    prepare=_prepare,
    command=_command,
    ready=_ready,
    variables=_variables,
)
