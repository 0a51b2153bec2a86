"""What a pipeline is told by variables: names of buckets, tables, collections and topics.

Belongs here: from a settings class to its variables and back. Does not: any pipeline's settings,
addresses and secrets (``resources/``).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

import dagster as dg


class Settings(dg.ConfigurableResource[Any]):
    """Names that a pipeline reads and writes by, every field with its default.

    The field ``prefix`` of the pipeline ``orders`` is told by the variable ``ORDERS_PREFIX``, but
    for the fields that ``named`` gives to another variable.
    """

    pipeline: ClassVar[str]
    named: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def variable(cls, field: str) -> str:
        """The variable that tells the field."""
        return cls.named.get(field, f"{cls.pipeline}_{field}".upper())

    @classmethod
    def defaults(cls) -> dict[str, str]:
        """Every variable with its default."""
        return {cls.variable(name): str(field.default) for name, field in cls.model_fields.items()}

    @classmethod
    def from_variables(cls) -> Self:
        """The resource; its variables are read when a run or a tick first needs them."""
        return cls(
            **{
                name: dg.EnvVar.int(cls.variable(name))
                if field.annotation is int
                else dg.EnvVar(cls.variable(name))
                for name, field in cls.model_fields.items()
            }
        )

    @classmethod
    def current(cls) -> Self:
        """What the variables say now; an unset one has its default."""
        told = ((name, os.environ.get(cls.variable(name))) for name in cls.model_fields)
        current: Self = _settings(cls, tuple(one for one in told if one[1] is not None))
        return current


@functools.lru_cache(maxsize=64)
def _settings(made: type[Any], told: tuple[tuple[str, str | None], ...]) -> Any:
    """The settings that say so: frozen, and Dagster takes milliseconds to make a resource."""
    return made(**dict(told))


class LandingPlaces(Protocol):
    """What the settings of a pipeline of landed files say about its buckets, all of one store."""

    @property
    def bucket(self) -> str:
        """Where files land."""
        ...

    @property
    def prefix(self) -> str:
        """Under which they land there."""
        ...

    @property
    def staging_bucket(self) -> str:
        """Where validated rows lie for the sinks."""
        ...

    @property
    def quarantine_bucket(self) -> str:
        """Where rejected rows go."""
        ...
