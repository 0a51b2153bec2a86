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
#: Where Dagster's UI looks for the links.
_KEY = "dagster/code_references"


def with_code_references(assets: Iterable[Any]) -> list[Any]:
    """The assets, each with the file and line of its function.

    On the web where QUINTET_SOURCE_URL says so (``https://github.com/owner/name/tree/branch``, or
    GitLab's ``…/-/tree/branch``), else on this machine, for an editor that opens them.
    """
    with warnings.catch_warnings():
        # Known to be beta; the version is pinned.
        warnings.simplefilter("ignore", dg.BetaWarning)
        referenced = [_with_reference(one) for one in assets]
        url, _, branch = os.environ.get("QUINTET_SOURCE_URL", "").partition("/tree/")
        if not branch:
            return referenced
        anchor = dg.AnchorBasedFilePathMapping(
            local_file_anchor=_ROOT, file_anchor_path_in_repository="."
        )
        return list(
            dg.link_code_references_to_git(referenced, url.removesuffix("/-"), branch, anchor)
        )


def _with_reference(asset: Any) -> Any:
    """As ``dg.with_source_code_references``, which has Python read and parse the whole file."""
    function = asset.op.compute_fn if isinstance(asset, dg.AssetsDefinition) else None
    code = getattr(getattr(function, "decorated_fn", None), "__code__", None)
    if code is None:
        return asset
    place = dg.LocalFileCodeReference(
        file_path=str(Path(code.co_filename).absolute()), line_number=code.co_firstlineno
    )
    found = {_KEY: dg.CodeReferencesMetadataValue(code_references=[place])}
    return asset.map_asset_specs(lambda spec: spec.merge_attributes(metadata=found))
