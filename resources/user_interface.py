"""Dagster's UI, as people reach it.

Belongs here: addresses of its pages. Does not: the webserver.
"""

from __future__ import annotations

from typing import Any

import dagster as dg


class UserInterfaceResource(dg.ConfigurableResource[Any]):
    """``url`` as it is typed into a browser."""

    url: str

    @property
    def home(self) -> str:
        """Where the UI begins."""
        return self.url.rstrip("/")

    def asset(self, key: dg.AssetKey) -> str:
        """The page of an asset."""
        return f"{self.url.rstrip('/')}/assets/{'/'.join(key.path)}"

    def job(self, name: str) -> str:
        """The page of a job's runs."""
        return f"{self.url.rstrip('/')}/locations/quintet/jobs/{name}/runs"

    def sensor(self, name: str) -> str:
        """The page of a sensor."""
        return f"{self.url.rstrip('/')}/locations/quintet/sensors/{name}"

    def run(self, run_id: str) -> str:
        """The page of a run."""
        return f"{self.url.rstrip('/')}/runs/{run_id}"
