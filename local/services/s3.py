"""S3 and MinIO: JuiceFS's gateway, which is MinIO's own gateway code over a local folder.

It ignores conditional requests (If-Match, If-None-Match) and keeps no versions.
"""

from __future__ import annotations

import subprocess

import minio
from minio.error import S3Error

from local.service import HOST, Command, Place, Service, StackError, answers_http

USER = "quintet"
BUCKETS = {
    "MUSIC_RAW_BUCKET": "music-raw",
    "MUSIC_PROCESSED_BUCKET": "music-processed",
    "MUSIC_QUARANTINE_BUCKET": "music-quarantine",
    "DOMAINS_BUCKET": "domains-updates",
    "DOMAINS_QUARANTINE_BUCKET": "domains-quarantine",
    "DOMAINS_OUTPUT_BUCKET": "domains-descriptions",
    "IMAGES_PRODUCTS_BUCKET": "products",
    "IMAGES_REQUESTS_BUCKET": "image-requests",
    "IMAGES_RESULTS_BUCKET": "image-results",
    "IMAGES_STAGING_BUCKET": "images-staging",
    "IMAGES_QUARANTINE_BUCKET": "images-quarantine",
    "IMAGES_MODELS_BUCKET": "images-models",
}
_OURS = "BucketAlreadyOwnedByYou"
_FORMAT_SECONDS = 60


def _binary(place: Place) -> str:
    return str(place.python.parent / "juicefs")


def _metadata(place: Place) -> str:
    # Badger: with SQLite every request takes tens of times as long.
    return f"badger://{place.data('s3') / 'meta'}"


def _prepare(place: Place) -> None:
    data = place.data("s3")
    if (data / "meta").exists():
        return
    (data / "objects").mkdir(parents=True, exist_ok=True)
    formatted = subprocess.run(
        [
            _binary(place),
            "format",
            "--storage",
            "file",
            "--bucket",
            f"{data / 'objects'}/",
            "--trash-days",
            "0",
            _metadata(place),
            "embedded",
        ],
        capture_output=True,
        text=True,
        timeout=_FORMAT_SECONDS,
        check=False,
    )
    if formatted.returncode != 0:
        raise StackError(f"juicefs could not format {data}:\n{formatted.stderr[-2000:]}")


def _command(place: Place) -> Command:
    return Command(
        [
            _binary(place),
            "gateway",
            _metadata(place),
            f"{HOST}:{place.ports['s3']}",
            "--multi-buckets",
            "--keep-etag",
            "--object-meta",
            "--object-tag",
            "--head-dir",
            "--hide-dir-object",
            "--no-usage-report",
            "--cache-size",
            "0",
            "--metrics",
            f"{HOST}:{place.ports['s3.metrics']}",
            "--backup-meta",
            "0",
        ],
        environment={"MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": place.secret("s3")},
        directory=place.data("s3"),
    )


def _ready(place: Place) -> bool:
    return answers_http(f"http://{HOST}:{place.ports['s3']}/minio/health/live")


def create_bucket(place: Place, name: str) -> None:
    """Create bucket ``name``; nothing happens when it is there. Raises S3Error otherwise."""
    client = minio.Minio(
        endpoint=f"{HOST}:{place.ports['s3']}",
        access_key=USER,
        secret_key=place.secret("s3"),
        secure=False,
    )
    if client.bucket_exists(name):
        return
    try:
        client.make_bucket(name)
    except S3Error as error:
        if error.code != _OURS:
            raise


def _populate(place: Place) -> None:
    for bucket in BUCKETS.values():
        create_bucket(place, bucket)


def _variables(place: Place) -> dict[str, str]:
    address, secret = f"{HOST}:{place.ports['s3']}", place.secret("s3")
    return {
        "MINIO_ENDPOINT": f"http://{address}",
        "MINIO_ACCESS_KEY": USER,
        "MINIO_SECRET_KEY": secret,
        "AWS_ENDPOINT_URL_S3": f"http://{address}",
        "AWS_ACCESS_KEY_ID": USER,
        "AWS_SECRET_ACCESS_KEY": secret,
        **BUCKETS,
        "MUSIC_RAW_PREFIX": "",
        "RAW_REMOVE": "committed",
    }


SERVICE = Service(
    name="s3",
    systems=("S3", "MinIO"),
    ports=("s3", "s3.metrics"),
    prepare=_prepare,
    command=_command,
    ready=_ready,
    populate=_populate,
    variables=_variables,
)
