"""How a table is described: columns, limits, keys, references, where values come from.

Belongs here: the description, what Dagster shows of it, and the columns that staging gives every
pipeline. Does not: any table, nor a store's DDL and statements (``assets/sinks``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    # Processes that only read files import tables too: Dagster would cost each a second of CPU.
    import dagster as dg


@dataclass(frozen=True, slots=True)
class Reference:
    """Every value that is not null is one of ``column`` in ``table``, a table of the same pipeline.

    ``enforced`` says that the database has the foreign key; else only the audit looks.
    """

    table: str
    column: str
    enforced: bool = True

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: type as Postgres spells it, whatever the store; what it says and in which unit.

    ``minimum`` and ``maximum`` are included, ``above`` is not. ``sources`` are the columns that
    its values come from, as ``asset.column``. ``fields`` are those of the type ``record[]``.
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
    fields: tuple[Column, ...] = ()

    @property
    def limits(self) -> str:
        """The range as people read it; empty without one."""
        parts = [
            *([f">= {self.minimum:g}"] if self.minimum is not None else []),
            *([f"> {self.above:g}"] if self.above is not None else []),
            *([f"<= {self.maximum:g}"] if self.maximum is not None else []),
        ]
        return " and ".join(parts)

    @property
    def rules(self) -> list[str]:
        """All that is asked of its values, as people read it."""
        return [
            *([self.limits] if self.limits else []),
            *([f"one of {', '.join(self.allowed)}"] if self.allowed else []),
            *([f"references {self.reference}"] if self.reference else []),
        ]

    def named(self, name: str, description: str | None = None) -> Column:
        """The same type and limits for another column."""
        return replace(self, name=name, description=description or self.description)

    def required(self) -> Column:
        """The same, never null."""
        return replace(self, nullable=False)

    def read_from(self, asset: str) -> Column:
        """The same, copied from the column of this name in ``asset``."""
        return replace(self, sources=(f"{asset}.{self.name}",))


#: What staging adds to the columns that a pipeline reads.
ROW_HASH = Column("row_hash", "text", "Digest of the row's regular values, hex.", nullable=False)
SEQ = Column("seq", "bigint", "Ledger sequence of the object version.", nullable=False)
LINE = Column("line", "bigint", "Line in that object, from 1.", nullable=False)
SOURCE = Column("source", "text", "Object version that it was read from.")
INGESTED_AT = Column(
    "ingested_at", "timestamptz", "When that version was first seen.", nullable=False
)
#: When a row came and when it last changed, by the clock of the database.
STAMPS = (
    Column("loaded_at", "timestamptz", "When the row was first written.", nullable=False),
    Column("updated_at", "timestamptz", "When it last changed.", nullable=False),
)
#: What a sink's own staging table adds.
BATCH_ID = Column("batch_id", "text", "Batch that the row came with.", nullable=False)


@dataclass(frozen=True, slots=True)
class Table:
    """One table, collection or index of a pipeline: its primary key, its columns in order.

    ``asset`` is the name of the asset that writes it; None for what validation keeps.
    ``partition`` is the column whose days are partitions, ``cluster`` how rows lie in one, ``kept``
    how long a partition stays. ``made`` are columns behind them that the database itself fills.
    """

    pipeline: str
    name: str
    description: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    asset: str | None = None
    partition: str | None = None
    cluster: tuple[str, ...] = ()
    kept: timedelta | None = None
    made: tuple[Column, ...] = ()

    @property
    def qualified(self) -> str:
        """Its name in Postgres, where every pipeline has a schema."""
        return f"{self.pipeline}.{self.name}"

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

    def staging(self, *further: Column) -> Table:
        """The table beside it through which a batch comes, with the batch and further columns."""
        own = {column.name for column in further} | {BATCH_ID.name}
        kept = tuple(column for column in self.columns if column.name not in own)
        return Table(
            self.pipeline,
            f"{self.name}_staging",
            f"The last batch on its way into {self.name}.",
            (),
            (*kept, BATCH_ID, *further),
        )

    def column_schema(self) -> dg.TableSchema:
        """The table as Dagster shows it: types, units, constraints."""
        import dagster as dg

        primary = [f"primary key ({', '.join(self.key)})"] if self.key else []
        return dg.TableSchema(
            columns=[
                dg.TableColumn(
                    column.name,
                    column.type,
                    column.description,
                    constraints=dg.TableColumnConstraints(
                        nullable=column.nullable,
                        unique=self.key == (column.name,),
                        other=column.rules,
                    ),
                )
                for column in (*self.columns, *self.made)
            ],
            constraints=dg.TableConstraints(other=primary),
        )

    def column_lineage(self) -> dg.TableColumnLineage:
        """Where the table's values come from, column by column."""
        import dagster as dg

        return dg.TableColumnLineage(
            {
                column.name: [self._dependency(source) for source in column.sources]
                for column in self.columns
                if column.sources
            }
        )

    def _dependency(self, source: str) -> dg.TableColumnDep:
        import dagster as dg

        asset, column = source.split(".")
        return dg.TableColumnDep(dg.AssetKey([self.pipeline, asset]), column)


def read_from(asset: str, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns, each copied from the one of its name in ``asset``."""
    return tuple(column.read_from(asset) for column in columns)
