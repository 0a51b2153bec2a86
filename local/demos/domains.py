"""The demo of domains: a marker on S3, then every domain of March 2025 described or rejected.

Belongs here: what is loaded, recounted and shown. Does not: the course of the demo (``demo``).
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from assets.pipelines import defaults
from landing.stores.s3 import S3Store
from local.demos.asking import QueryService
from local.demos.pipeline import Answer, Figures, Landed, PipelineDemo, ledger_figures
from local.shop_database import load
from resources.postgres import PostgresResource
from resources.s3 import S3Resource

MONTH = "2025-03"

#: What the real files hold, counted apart from this code.
REAL_FIGURES: Mapping[str, int] = {"domains": 10_427, "without transactions": 62}

SAMPLE_DOMAINS = 60
SHOWN = 3


class DomainsDemo(PipelineDemo):
    """The real metrics where there are any, else generated ones."""

    name: ClassVar[str] = "domains"

    def load(self) -> Sequence[Landed]:
        """Fill the source database, then put the marker that starts the month."""
        metrics, categories = self._files()
        with PostgresResource(url=self.env["DOMAINS_SOURCE_URL"]).connect() as connection:
            load(connection, metrics, categories)
        with closing(self._s3().client()) as client:
            store = S3Store(client, self._name("DOMAINS_BUCKET"))
            marker = store.put(f"{self._name('DOMAINS_PREFIX')}{MONTH}/metrics.done", b"")
        return [Landed(marker.bucket, marker.key, marker.version)]

    def figures(self, landed: Sequence[Landed]) -> Figures:
        """The ledger's counts over the marker; Telegram has to be told, too."""
        found = ledger_figures(self._postgres(), landed)
        told = any("domains " + MONTH in str(one.get("text")) for one in self._messages())
        return replace(found, waiting={"message to Telegram": 0 if told else 1})

    def verify(self, figures: Figures) -> Sequence[str]:
        """Every domain of the source is published or listed as rejected, and the files agree."""
        expected = self._domains()
        manifest, rows = self._published()
        published = {row["domain"] for row in rows}
        rejected = set(manifest["rejected_domains"])
        problems = []
        if published | rejected != expected or published & rejected:
            problems.append(
                f"{len(expected)} domains in the source, {len(published)} published and "
                f"{len(rejected)} rejected"
            )
        if self.data_dir is not None and len(expected) != REAL_FIGURES["domains"]:
            problems.append(f"{len(expected)} domains, the real files have 10,427")
        if figures.read != figures.written or figures.rejected:
            problems.append(f"{figures.read} markers read, {figures.written} written")
        problems += [
            f"{row['domain']} is not named in its own description"
            for row in rows
            if " ".join(row["domain"].split()) not in row["description"]
        ][:SHOWN]
        return problems

    def answer(self, service: QueryService) -> Answer:
        """Where the files are, what they cost, and a few descriptions."""
        manifest, rows = self._published()
        counts = f"{manifest['published']:,} of {manifest['domains']:,} domains described"
        rejected = f"{manifest['rejected']:,} rejected {manifest['rejected_by_reason'] or ''}"
        lines = [f"  {counts} for ${manifest['cost_dollars']:.2f}, {rejected}"]
        lines += [f"  Telegram: {self._messages()[-1]['text'].splitlines()[0]}"]
        wrong = []
        for row in rows[:SHOWN]:
            asked = ("v1", "domains", row["domain"], "description")
            said = service.ask(*asked, month=MONTH)["answer"]
            of = f"{said['domain']}, {said['category'] or 'no category'}"
            lines.append(f"    {of}: {said['description'][:100]}…")
            if said["description"] != row["description"]:
                wrong.append(f"{row['domain']} is described as {said['description']!r}")
        return Answer(lines, wrong)

    def _messages(self) -> list[dict[str, Any]]:
        """What the stand-in of Telegram was sent."""
        url, token = self.env["TELEGRAM_URL"], self.env["TELEGRAM_BOT_TOKEN"]
        asked = urllib.request.Request(
            f"{url}/admin/messages", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            messages: list[dict[str, Any]] = json.load(answer)
        return messages

    def _name(self, variable: str) -> str:
        """What the variable says, or its default."""
        return {**defaults(), **self.env}[variable]

    def _published(self) -> tuple[dict[str, Any], list[dict[str, str]]]:
        prefix = self._name("DOMAINS_OUTPUT_PREFIX")
        with closing(self._s3().client()) as client:
            store = S3Store(client, self._name("DOMAINS_OUTPUT_BUCKET"))
            folder = json.loads(store.get(f"{prefix}{MONTH}/latest.json"))["folder"]
            manifest = json.loads(store.get(f"{folder}manifest.json"))
            text = store.get(f"{folder}{MONTH}-descriptions.csv").decode()
        return manifest, list(csv.DictReader(io.StringIO(text, newline="")))

    def _domains(self) -> set[str]:
        """Those of the month in the file, read without the pipeline's code."""
        metrics, _ = self._files()
        with gzip.open(metrics, "rt", encoding="utf-8", newline="") as stream:
            return {row["domain"] for row in csv.DictReader(stream) if row["date"][:7] == MONTH}

    def _files(self) -> tuple[Path, Path]:
        if self.data_dir is not None:
            folder = self.data_dir / "domains"
            return (
                folder / "domain_metrics_calibrated.csv.gz",
                folder / "domain_categories_calibrated.csv.gz",
            )
        from samples.domains import CATEGORIES_FILE, METRICS_FILE, write

        folder = self.work_dir / "domains"
        write(folder, SAMPLE_DOMAINS)
        return folder / METRICS_FILE, folder / CATEGORIES_FILE

    def _postgres(self) -> PostgresResource:
        return PostgresResource(url=self.env["POSTGRES_URL"])

    def _s3(self) -> S3Resource:
        return S3Resource(endpoint=self.env["AWS_ENDPOINT_URL_S3"], region=self._name("AWS_REGION"))
