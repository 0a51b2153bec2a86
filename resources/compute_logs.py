"""Where the stdout and stderr of steps go: local disk, or a bucket when a variable names one.

Belongs here: that choice, made by ``dagster.yaml``. Does not: the storing, which is Dagster's own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._serdes import ConfigurableClass, ConfigurableClassData

#: Seconds between uploads of a running step's log, so that the UI shows it before the step ends.
UPLOAD_INTERVAL = 30


class ComputeLogs(ComputeLogManager, ConfigurableClass):
    """A factory that ``dagster.yaml`` names; it becomes one of Dagster's compute log managers.

    Dagster wants a subclass of ComputeLogManager by that name; it is never instantiated.

    Config ``variable`` is the name of the variable that holds ``gs://bucket/prefix`` or
    ``s3://bucket/prefix``; unset or empty means ``$DAGSTER_HOME/storage``. The cloud managers are
    imported only when they are chosen: they cost as much as ``import dagster`` itself.
    """

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """The name of the variable."""
        return {"variable": dg.Field(str, default_value="COMPUTE_LOGS_BUCKET")}

    @classmethod
    def from_config_value(  # type: ignore[override]
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> ComputeLogManager[Any]:
        """The manager that the variable asks for.

        Raises:
            DagsterInvalidDefinitionError: the variable is neither empty nor a gs:// or s3:// URL.
        """
        variable = str(config_value["variable"])
        target = os.environ.get(variable, "")
        home = Path(os.environ.get("DAGSTER_HOME") or tempfile.gettempdir())
        if not target:
            from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

            return LocalComputeLogManager(base_dir=str(home / "storage"), inst_data=inst_data)
        url = urlsplit(target)
        prefix = url.path.strip("/") or "dagster"
        if url.scheme == "gs" and url.netloc:
            from dagster_gcp.gcs.compute_log_manager import GCSComputeLogManager

            gcs: ComputeLogManager[Any] = GCSComputeLogManager(
                bucket=url.netloc,
                prefix=prefix,
                inst_data=inst_data,
                upload_interval=UPLOAD_INTERVAL,
            )
            return gcs
        if url.scheme == "s3" and url.netloc:
            from dagster_aws.s3.compute_log_manager import S3ComputeLogManager

            s3: ComputeLogManager[Any] = S3ComputeLogManager(
                bucket=url.netloc,
                prefix=prefix,
                inst_data=inst_data,
                upload_interval=UPLOAD_INTERVAL,
                endpoint_url=os.environ.get("AWS_ENDPOINT_URL_S3"),
            )
            return s3
        raise dg.DagsterInvalidDefinitionError(
            f"{variable} must be empty, gs://bucket/prefix or s3://bucket/prefix"
        )
