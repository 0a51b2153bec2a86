"""How a table is described: columns, limits, keys, references, where values come from.

Belongs here: the description's types. Does not: any table (the modules beside it).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Layer = Literal["landing", "silver", "gold"]


@dataclass(frozen=True, slots=True)
class Reference:
    """Every value that is not null is one of ``column`` in ``table``, a table of schema music.

    ``enforced`` says that the database has the foreign key; else only the audit looks.
    """

    table: str
    column: str
    enforced: bool = True

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: SQL type as Postgres spells it, what it says and in which unit.

    ``minimum`` and ``maximum`` are included, ``above`` is not. ``sources`` are the columns that
    its values come from, as ``asset.column``.
    """

    name: str
    type: str
    description: str
    nullable: bool = True
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    allowed: tuple[str, ...] = ()
    reference: Reference | None = None
    sources: tuple[str, ...] = ()

    @property
    def limits(self) -> str:
        """The range as people read it; empty without one."""
        parts = [
            *([f">= {self.minimum:g}"] if self.minimum is not None else []),
            *([f"> {self.above:g}"] if self.above is not None else []),
            *([f"<= {self.maximum:g}"] if self.maximum is not None else []),
        ]
        return " and ".join(parts)

    def named(self, name: str, description: str | None = None) -> Column:
        """The same type and limits for another column."""
        return replace(self, name=name, description=description or self.description)

    def required(self) -> Column:
        """The same, never null."""
        return replace(self, nullable=False)

    def read_from(self, asset: str) -> Column:
        """The same, copied from the column of this name in ``asset``."""
        return replace(self, sources=(f"{asset}.{self.name}",))


@dataclass(frozen=True, slots=True)
class Table:
    """One table of schema ``music``: who writes it, its primary key, its columns in order."""

    name: str
    layer: Layer
    #: Name of the asset that writes it; None for the landing part, which validation keeps.
    asset: str | None
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def qualified(self) -> str:
        """Its name in SQL."""
        return f"music.{self.name}"

    @property
    def names(self) -> tuple[str, ...]:
        """Its columns' names, in order."""
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        """One column. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.qualified} has no column {name}")
