"""Faults, limits and counters of the stand-in lyrics and MusicBrainz services, for one test."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MusicServicesAdmin:
    """``url`` ends with the test's own name."""

    url: str

    @classmethod
    def of(cls, env: Mapping[str, str]) -> MusicServicesAdmin:
        """For the variables of a test."""
        return cls(env["MUSIC_LYRICS_URL"].removesuffix("/v1"))

    def set_faults(self, **plan: Any) -> None:
        """Replace the plan; fields as in ``local.fault_plan.FaultPlan``."""
        self._call("PUT", "faults", plan)

    def end_faults(self) -> None:
        """Answer everything again."""
        self._call("DELETE", "faults")

    def set_limits(self, **per_second: float) -> None:
        """Requests a second by endpoint."""
        self._call("PUT", "limits", per_second)

    def counters(self) -> dict[str, Any]:
        """Calls, answered calls, faults, most open calls, and what was asked how often."""
        counters: dict[str, Any] = self._call("GET", "counters")
        return counters

    def calls(self, endpoint: str = "lyrics") -> int:
        """Requests to one endpoint."""
        return int(self.counters()["calls"].get(endpoint, 0))

    def asked(self, endpoint: str = "lyrics") -> dict[tuple[str, ...], int]:
        """How often each artist and title, or ("name" | "mbid", value), was asked for."""
        rows = self.counters()["asked"]
        return {tuple(row[1:-1]): row[-1] for row in rows if row[0] == endpoint}

    def clear_counters(self) -> None:
        """Count from zero."""
        self._call("DELETE", "counters")

    def _call(self, method: str, name: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/admin/{name}",
            data=None if body is None else json.dumps(body).encode(),
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.load(response)
