"""The list of advisory locks: keys never change, and no statement elsewhere takes one."""

from __future__ import annotations

import re
from pathlib import Path

from resources.advisory_locks import Lock

ROOT = Path(__file__).parents[3]
PRODUCT = (
    "api", "assets", "jobs", "landing", "local", "migrations", "ops", "resources", "sensors",
)  # fmt: skip
#: What processes of released versions hold.
KEYS = {
    "RUN": "81, hashtext(%s)",
    "WRITER": "82, hashtext(%s)",
    "SOURCE": "83, hashtext(%s)",
    "BATCH_ID": "84, 0",
    "MERGE": "85, hashtext(%s)",
    "CHANGE_REPORT": "86, 0",
    "OPENAI_ASKER": "87, hashtext(%s)",
    "OPENAI_BATCHES": "89, hashtext(%s)",
    "ALERT_SENDER": "88, 0",
    "IMAGE_SHARD": "90, hashtext(%s)",
    "IMAGE_TASK": "91, hashtext(%s)",
    "IMAGE_REQUEST": "94, hashtext(%s)",
    "RECOMMENDATIONS": "92, 0",
    "DECISION": f"{0x71756E}, hashtext(%s)",
    "STAR_SCHEMA": f"{0x73696C76}",
    "EMBEDDINGS": "hashtextextended('quintet.cache.embedding', 0)",
    "MIGRATIONS": "hashtext('quintet.migrations')",
}


def test_keys_stay_what_running_processes_hold():
    assert {name: lock.value for name, lock in Lock.__members__.items()} == KEYS


def test_no_two_locks_share_a_key():
    """Aliases of an enum are members with one value, and one class with a name and 0 would meet."""
    first = [key.split(", ")[0] if key[0].isdigit() else key for key in KEYS.values()]
    assert len(set(first)) == len(Lock.__members__)


def test_locks_are_taken_by_the_list_only():
    takes = re.compile(r"pg_(try_)?advisory_\w+")
    found = {
        str(path.relative_to(ROOT))
        for package in PRODUCT
        for kind in ("*.py", "*.sql")
        for path in (ROOT / package).rglob(kind)
        if takes.search(path.read_text())
    }
    assert found == {"resources/advisory_locks.py"}
