"""``python -m local.screenshots``: the documentation's pictures, from a running demo's UI.

Belongs here: which pages are shown and when they have been drawn. Does not: running the demo.
Needs a Chromium (CHROMIUM names it, else ``chromium`` on the path).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import httpx
from playwright.sync_api import Page, sync_playwright

from local.service import REPOSITORY

OUTPUT = REPOSITORY / "docs" / "images"
SIZE = {"width": 1600, "height": 1000}

_LAST_RUN = """
query($job: String!) { runsOrError(filter: {pipelineName: $job, statuses: [SUCCESS]}, limit: 1) {
  ... on Runs { results { id } } } }
"""


@dataclass(frozen=True, slots=True)
class Shot:
    """A page of the UI.

    ``wait_for`` is a text that it shows when it has been drawn; ``click`` one to click then, the
    ``nth`` that the page has.
    """

    name: str
    path: str
    wait_for: str
    click: str = ""
    nth: int = 0
    height: int = SIZE["height"]


def graph(name: str, pipeline: str, groups: Sequence[str], wait_for: str) -> Shot:
    """The lineage of a pipeline's assets, all its groups expanded."""
    expanded = [f"global@global:{pipeline}_{group}" for group in groups]
    query = {"asset-selection": f'key:"{pipeline}/*"', "expanded": ",".join(expanded)}
    return Shot(name, f"/asset-groups?{urlencode(query)}", wait_for, height=1150)


def campaigns(run_id: str) -> list[Shot]:
    """What the documentation shows of campaigns."""
    asset = "/assets/campaigns"
    return [
        graph("graph", "campaigns", ("landing", "stores", "answers"), "user_profiles"),
        Shot("run", f"/runs/{run_id}", "engagement_graph"),
        Shot("plots", f"{asset}/events?view=overview", "rows_written", "Plots", height=1800),
        Shot("chart", f"{asset}/engagement_analytics", "rows_written", "[Show Markdown]"),
        Shot("checks", f"{asset}/events?view=checks", "rows_balance", "rows_balance"),
        Shot("sensor", "/locations/quintet/sensors/campaigns_gcs_sensor", "campaigns_gcs_sensor"),
    ]


def music(run_id: str) -> list[Shot]:
    """What the documentation shows of music."""
    asset = "/assets/music"
    return [
        graph("music_graph", "music", ("landing", "silver", "gold", "search"), "lyrics_vectors"),
        Shot("music_run", f"/runs/{run_id}", "song_details"),
        Shot("music_chart", f"{asset}/tempo_key_profile", "rows_written", "[Show Markdown]"),
        Shot("music_bronze", f"{asset}/bronze_records", "rows_written", height=1400),
    ]


def reading(run_id: str) -> list[Shot]:
    """What the documentation shows of reading."""
    asset = "/assets/reading"
    return [
        graph(
            "reading_graph", "reading", ("landing", "history", "stream", "answers"), "history_rows"
        ),
        Shot("reading_session", f"{asset}/user_interaction_raw?view=events", "micro_batches"),
        Shot(
            "reading_plots",
            f"{asset}/user_interaction_raw?view=overview",
            "Metadata",
            "Plots",
            height=2_200,
        ),
        Shot(
            "reading_shares",
            f"{asset}/user_category_shares?view=partitions&partition=2022-03-23",
            "mean share",
            "[Show Markdown]",
        ),
        Shot("reading_history", f"/runs/{run_id}", "interaction_history"),
    ]


def domains(_run_id: str) -> list[Shot]:
    """What the documentation shows of domains."""
    month = "/assets/domains/domain_features?view=partitions&partition=2025-03"
    groups = ("landing", "features", "summaries", "publication")
    return [
        graph("domains_graph", "domains", groups, "domain_features"),
        Shot("domains_bins", month, "revenue_bins", "[Show Markdown]"),
    ]


def images(run_id: str) -> list[Shot]:
    """What the documentation shows of images."""
    asset, task = "/assets/images", "view=partitions&partition=all-that-there-is"
    groups = ("landing", "stores", "classifier", "tasks")
    return [
        graph("images_graph", "images", groups, "task_metadata"),
        Shot("images_run", f"/runs/{run_id}", "task_metadata"),
        Shot("images_sheet", f"{asset}/task_images?{task}", "contact_sheet", "[Show Markdown]"),
        Shot("images_labels", f"{asset}/task_predictions?{task}", "labels", "[Show Markdown]"),
        Shot("images_confusion", f"{asset}/image_classifier", "confusion", "[Show Markdown]", 1),
    ]


SHOTS: dict[str, Callable[[str], list[Shot]]] = {
    "campaigns": campaigns,
    "music": music,
    "reading": reading,
    "domains": domains,
    "images": images,
}
#: The job whose last run is shown, where it is not called like its pipeline.
JOBS = {"reading": "reading_history"}


def main(argv: Sequence[str] | None = None) -> int:
    """Take every picture; 1 when the UI or the browser is not there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:3000")
    parser.add_argument("--out", type=Path, default=OUTPUT)
    parser.add_argument("--pipeline", choices=[*SHOTS], default="campaigns")
    arguments = parser.parse_args(argv)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        print("No Chromium: install it, or name it in CHROMIUM.", file=sys.stderr)
        return 1
    job = JOBS.get(arguments.pipeline, arguments.pipeline)
    query = {"query": _LAST_RUN, "variables": {"job": job}}
    answer = httpx.post(f"{arguments.url}/graphql", json=query, timeout=20).json()
    runs = answer["data"]["runsOrError"]["results"]
    if not runs:
        print(f"No run of {arguments.pipeline} succeeded yet: run `make demo`.", file=sys.stderr)
        return 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": SIZE["width"], "height": SIZE["height"]})
        for shot in SHOTS[arguments.pipeline](runs[0]["id"]):
            _take(page, arguments.url, shot, arguments.out)
            print(arguments.out / f"{shot.name}.png")
        browser.close()
    return 0


def _take(page: Page, url: str, shot: Shot, out: Path) -> None:
    page.set_viewport_size({"width": SIZE["width"], "height": shot.height})
    page.goto(url + shot.path, wait_until="domcontentloaded")
    page.get_by_text(shot.wait_for).first.wait_for(timeout=60_000)
    page.wait_for_timeout(2_000)
    if shot.click:
        page.get_by_text(shot.click).nth(shot.nth).click()
    page.wait_for_timeout(3_000)
    page.screenshot(path=str(out / f"{shot.name}.png"))


if __name__ == "__main__":
    sys.exit(main())
