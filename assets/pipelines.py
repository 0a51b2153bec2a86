"""Which pipelines there are, which of them are chosen, and the variables of all.

Belongs here: the list, finding a declaration by its name, and what those declare together. Does
not: what a pipeline is (``frame/declared.py``), variables of systems
(``resources/environment.py``).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from resources import environment, secrecy

if TYPE_CHECKING:  # the declarations import Dagster, which the names alone do not need
    from contextlib import AbstractContextManager

    from assets.frame.declared import LandedFiles, Pipeline
    from landing.batch.reasons import RejectReason
    from landing.stores.base import ObjectStore

#: Every pipeline is a package of this name here, whose module ``pipeline`` declares ``PIPELINE``.
PIPELINES: tuple[str, ...] = ("campaigns", "music", "reading", "domains", "images")


class UnknownPipelineError(ValueError):
    """QUINTET_PIPELINES names a pipeline that there is not."""


def declaration(name: str) -> Pipeline:
    """The pipeline of that name. Raises UnknownPipelineError."""
    if name not in PIPELINES:
        raise UnknownPipelineError(
            f"QUINTET_PIPELINES names {name}. There are: {', '.join(PIPELINES)}."
        )
    found: Pipeline = importlib.import_module(f"assets.{name}.pipeline").PIPELINE
    return found


def chosen_pipelines() -> tuple[str, ...]:
    """The pipelines that QUINTET_PIPELINES names, in the order of PIPELINES; all when it is empty.

    Raises:
        UnknownPipelineError: it names another.
    """
    value = os.environ.get("QUINTET_PIPELINES", "")
    names = {name.strip() for name in value.split(",") if name.strip()}
    if unknown := sorted(names - set(PIPELINES)):
        raise UnknownPipelineError(
            f"QUINTET_PIPELINES names {', '.join(unknown)}. There are: {', '.join(PIPELINES)}."
        )
    return tuple(name for name in PIPELINES if name in names or not names)


def landed_files(names: Iterable[str] = PIPELINES) -> list[LandedFiles]:
    """All that lands for these pipelines."""
    return [files for name in names for files in declaration(name).landed]


def landed_of(pipeline: str, source: str) -> LandedFiles:
    """What lands for the pipeline under the source's name in the ledger.

    Also what is called otherwise by now, where nothing else lands for it. Raises
    UnknownPipelineError, and KeyError when there is none.
    """
    landed = declaration(pipeline).landed
    found = [files for files in landed if files.source_name == source]
    if not found and len(landed) == 1:
        found = list(landed)
    if not found:
        raise KeyError(source)
    return found[0]


def quarantine_bucket(
    pipeline: str, source: str, bucket: str
) -> AbstractContextManager[ObjectStore]:
    """A bucket in which rejected rows of the source lie, for the time of the block.

    Raises as :func:`landed_of`, and NotSetError of ``resources.configured``.
    """
    from assets.frame.buckets import opened
    from resources.configured import configured

    return opened(configured(landed_of(pipeline, source).store), bucket)


def reject_reasons(pipeline: str) -> dict[str, RejectReason]:
    """All reasons for which the pipeline rejects anything, by code. Imports its rules."""
    declared = declaration(pipeline)
    return {
        code: reason for files in declared.landed for code, reason in files.rules().by_code.items()
    } | {reason.code: reason for reason in declared.reasons}


def defaults() -> dict[str, str]:
    """Every variable that has a default, of systems and of pipelines."""
    own = {
        name: value
        for pipeline in PIPELINES
        for name, value in declaration(pipeline).settings.defaults().items()
    }
    return {"QUINTET_PIPELINES": ",".join(PIPELINES), **environment.DEFAULTS, **own}


def required(names: Iterable[str] = PIPELINES) -> tuple[str, ...]:
    """The variables without which these pipelines cannot run."""
    return tuple(dict.fromkeys(one for name in names for one in declaration(name).requires))


def without_secrets(text: str, env: Mapping[str, str]) -> str:
    """``text`` without the values of the secrets that ``env`` has."""
    return secrecy.blanked(text, env, {*defaults(), *required()})


def apply_defaults() -> None:
    """Give every unset variable its default, in this process and its children."""
    for name, value in defaults().items():
        os.environ.setdefault(name, value)
