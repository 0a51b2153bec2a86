"""Where an asset's code stands, as a link in its page of the UI.

Belongs here: adding the links. Does not: anything that a run needs.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dagster as dg

_ROOT = Path(__file__).resolve().parents[2]


def with_code_references(assets: Iterable[Any]) -> list[Any]:
    """The assets, each with the file and line of its function.

    On the web where QUINTET_SOURCE_URL says so (``https://github.com/owner/name/tree/branch``, or
    GitLab's ``…/-/tree/branch``), else on this machine, for an editor that opens them.
    """
    with warnings.catch_warnings():
        # Known to be beta; the version is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        referenced: list[Any] = list(dg.with_source_code_references(list(assets)))
        url, _, branch = os.environ.get("QUINTET_SOURCE_URL", "").partition("/tree/")
        if not branch:
            return referenced
        anchor = dg.AnchorBasedFilePathMapping(
            local_file_anchor=_ROOT, file_anchor_path_in_repository="."
        )
        return list(
            dg.link_code_references_to_git(referenced, url.removesuffix("/-"), branch, anchor)
        )
