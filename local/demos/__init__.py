"""What `make demo` does for each pipeline: its files, its figures, its answer.

Belongs here: one module per pipeline and the list of them. Does not: running the demo (``demo``).
"""

from __future__ import annotations

from local.demos.campaigns import CampaignsDemo
from local.demos.domains import DomainsDemo
from local.demos.images import ImagesDemo
from local.demos.music import MusicDemo
from local.demos.pipeline import PipelineDemo
from local.demos.reading import ReadingDemo

DEMOS: dict[str, type[PipelineDemo]] = {
    "campaigns": CampaignsDemo,
    "music": MusicDemo,
    "reading": ReadingDemo,
    "domains": DomainsDemo,
    "images": ImagesDemo,
}
