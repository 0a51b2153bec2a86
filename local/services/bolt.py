"""Neo4j's Bolt protocol and Cypher: ArcadeDB, through ``local/bolt_server.py``."""

from __future__ import annotations

from local.service import HOST, REPOSITORY, Command, Place, Service, accepts, answers_http

DATABASE = "neo4j"


def _command(place: Place) -> Command:
    data = place.data("bolt")
    return Command(
        [
            str(place.python),
            "-P",
            str(REPOSITORY / "local" / "bolt_server.py"),
            str(place.ports["bolt"]),
            str(place.ports["bolt.http"]),
            str(data),
            DATABASE,
        ],
        environment={"BOLT_SERVER_PASSWORD": place.secret("bolt")},
        # The server writes ./log wherever it is started.
        directory=data,
    )


def _prepare(place: Place) -> None:
    place.data("bolt").mkdir(parents=True, exist_ok=True)


def _ready(place: Place) -> bool:
    # The launcher opens its database last and then writes this file.
    return (
        (place.data("bolt") / "ready").exists()
        and answers_http(f"http://{HOST}:{place.ports['bolt.http']}/api/v1/ready")
        and accepts(place.ports["bolt"])
    )


def _variables(place: Place) -> dict[str, str]:
    return {
        "NEO4J_URI": f"bolt://{HOST}:{place.ports['bolt']}",
        "NEO4J_USER": "root",
        "NEO4J_PASSWORD": place.secret("bolt"),
        "NEO4J_DATABASE": DATABASE,
    }


SERVICE = Service(
    name="bolt",
    systems=("Neo4j",),
    ports=("bolt", "bolt.http"),
    prepare=_prepare,
    command=_command,
    ready=_ready,
    variables=_variables,
    grace=15.0,
)
