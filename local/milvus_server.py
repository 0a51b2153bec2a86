"""Starts milvus-lite 3.2.2 as a server that refuses what Milvus refuses.

Runs with the interpreter of the servers' environment: ``milvus_server.py server --data-dir …``,
as milvus-lite's own command.

What milvus-lite 3.2.2 takes and Milvus does not, and is refused here, in Milvus' words:

1. *Vectors with NaN or infinite numbers.* Their distance to anything is no number.
2. *Texts of more bytes than a VARCHAR's max_length.* It counts characters.

The corrections are for exactly this version: another one is refused.
"""

from __future__ import annotations

import importlib.metadata
import math
import sys
from typing import Any

VERSION = "3.2.2"
#: Bytes of a character in UTF-8, at most.
_BYTES = 4


def check_version(installed: str) -> None:
    """Raises SystemExit when ``installed`` is not the version that the corrections are for."""
    if installed != VERSION:
        raise SystemExit(
            f"milvus-lite {installed} is installed, the corrections in local/milvus_server.py "
            f"are for {VERSION}: install that version, or check whether they are still needed"
        )


def refused(record: dict[str, Any], fields: Any) -> str | None:
    """What Milvus would say of a record, if anything; ``fields`` are the collection's."""
    for field in fields:
        value = record.get(field.name)
        if field.dtype.name == "FLOAT_VECTOR" and value is not None:
            # Single numbers are looked at only where their sum is none.
            if not math.isfinite(sum(value)):
                bad = next((one for one in value if not math.isfinite(one)), None)
                if bad is not None:
                    return f"value '{bad}' is not a number or infinity"
        elif field.dtype.name == "VARCHAR" and isinstance(value, str) and field.max_length:
            if len(value) * _BYTES <= field.max_length:
                continue
            if (length := len(value.encode())) > field.max_length:
                return (
                    f"length of varchar field {field.name} exceeds max length, "
                    f"length: {length}, max length: {field.max_length}"
                )
    return None


def _refuse_what_milvus_refuses() -> None:
    from milvus_lite.engine import collection
    from milvus_lite.exceptions import SchemaValidationError

    stock = collection.validate_record

    def validate(record: dict[str, Any], schema: Any, *arguments: Any, **options: Any) -> None:
        stock(record, schema, *arguments, **options)
        if (why := refused(record, schema.fields)) is not None:
            raise SchemaValidationError(why)

    collection.validate_record = validate


if __name__ == "__main__":
    check_version(importlib.metadata.version("milvus-lite"))
    _refuse_what_milvus_refuses()
    from milvus_lite.cmdline import main

    sys.exit(main())
