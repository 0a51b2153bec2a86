"""MongoDB: SecantusDB (WiredTiger), a server that speaks MongoDB's wire protocol."""

from __future__ import annotations

from local.service import HOST, Command, Place, Service, accepts


def _command(place: Place) -> Command:
    data = place.data("mongo")
    return Command(
        [
            str(place.python),
            "-P",
            "-c",
            "import sys; from secantus.cli import main; sys.exit(main())",
            "--host",
            HOST,
            "--port",
            str(place.ports["mongo"]),
            "--storage-path",
            str(data / "db"),
            "--log-level",
            "WARNING",
            # Without it acknowledged writes are lost when the process is killed.
            "--sync-on-commit",
        ],
        directory=data,
    )


def _prepare(place: Place) -> None:
    place.data("mongo").mkdir(parents=True, exist_ok=True)


def _ready(place: Place) -> bool:
    if not accepts(place.ports["mongo"]):
        return False
    import pymongo
    from pymongo.errors import PyMongoError

    client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(
        _uri(place), serverSelectionTimeoutMS=1500
    )
    try:
        client.admin.command("ping")
    except PyMongoError:
        return False
    finally:
        client.close()
    return True


def _uri(place: Place) -> str:
    # journal: a write is acknowledged once it is on disk.
    return f"mongodb://{HOST}:{place.ports['mongo']}/?journal=true&directConnection=true"


def _variables(place: Place) -> dict[str, str]:
    return {
        "MONGO_URI": _uri(place),
        "CAMPAIGNS_MONGO_DATABASE": "marketing",
        "CAMPAIGNS_MONGO_COLLECTION": "user_messages",
    }


SERVICE = Service(
    name="mongo",
    systems=("MongoDB",),
    ports=("mongo",),
    prepare=_prepare,
    command=_command,
    ready=_ready,
    variables=_variables,
)
