"""What processes that tests fork have imported: libraries, Dagster, and all of ours that is lazy.

Belongs here: the choice; importing this module is the import. Does not: forking (``forks``). What
reads variables at its import stays out (``assets.images.scaleout.celery_app``).
"""

from __future__ import annotations

import gc
import importlib

import hypothesis  # noqa: F401 - as test modules do, whose functions are run
import pytest  # noqa: F401

import definitions  # noqa: F401
from assets.pipelines import PIPELINES, declaration
from jobs.warm import preloading

preloading.import_libraries()
for name in PIPELINES:
    declaration(name)
for name in (
    *preloading.OF_STEPS,
    "celery.bin.celery",
    "celery.apps.worker",
    "kombu.transport.pyamqp",
):
    importlib.import_module(name)
preloading.require_alone()
gc.collect()
gc.freeze()
