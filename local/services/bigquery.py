"""BigQuery: bqemulator on DuckDB, through our launcher ``local/bigquery_server.py``.

Belongs here: the server's declaration. Does not: the launcher's corrections.
"""

from __future__ import annotations

from local.service import HOST, PROJECT, REPOSITORY, Command, Place, Service, answers_http


def _command(place: Place) -> Command:
    data = place.data("bigquery")
    return Command(
        [
            str(place.python),
            "-P",
            str(REPOSITORY / "local" / "bigquery_server.py"),
            str(place.ports["bigquery.rest"]),
            str(place.ports["bigquery.grpc"]),
            str(data),
            str(place.data("gcs")),
        ],
        directory=data,
    )


def _prepare(place: Place) -> None:
    place.data("bigquery").mkdir(parents=True, exist_ok=True)
    # Loads from gs:// read the files of the GCS server.
    place.data("gcs").mkdir(parents=True, exist_ok=True)


def _ready(place: Place) -> bool:
    return answers_http(f"http://{HOST}:{place.ports['bigquery.rest']}/healthz")


def _variables(place: Place) -> dict[str, str]:
    return {
        "BIGQUERY_API_ENDPOINT": f"http://{HOST}:{place.ports['bigquery.rest']}",
        "BIGQUERY_GRPC_ENDPOINT": f"{HOST}:{place.ports['bigquery.grpc']}",
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "CAMPAIGNS_DATASET": "marketing",
        "READING_DATASET": "reading",
    }


SERVICE = Service(
    name="bigquery",
    systems=("BigQuery", "BigQuery Storage"),
    ports=("bigquery.rest", "bigquery.grpc"),
    prepare=_prepare,
    command=_command,
    ready=_ready,
    variables=_variables,
)
