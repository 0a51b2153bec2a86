"""The demo of campaigns: CSV files into the GCS bucket, counts in every sink, one recommendation.

Belongs here: what is loaded, recounted and asked. Does not: the course of the demo (``demo``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from local.demos import campaigns_recount as recount
from local.demos.asking import QueryService
from local.demos.pipeline import Answer, Figures, Landed, PipelineDemo, ledger_figures
from resources.bigquery import BigQueryResource, table_id
from resources.bigquery import run as query
from resources.gcs import GcsResource
from resources.milvus import MilvusResource
from resources.mongo import MongoResource
from resources.neo4j import Neo4jResource
from resources.postgres import PostgresResource

#: What the real file holds, counted apart from this code: every sink must hold exactly that.
REAL_FIGURES: Mapping[str, int] = {
    "users": 1_000,
    "events": 1_170,
    "campaigns": 7,
    "performed": 1_170,
    "part_of": 894,
    "participated_in": 867,
    "messages": 1_050,
    "profiles": 911,
}

SAMPLE_ROWS = 2_000

_EXPECTED = """
SELECT count(*), count(DISTINCT user_id), count(DISTINCT campaign), count(campaign),
       count(DISTINCT (user_id, campaign)) FILTER (WHERE campaign IS NOT NULL),
       count(message_hash), count(DISTINCT user_id) FILTER (WHERE message_hash IS NOT NULL)
FROM campaigns.record
"""


class CampaignsDemo(PipelineDemo):
    """Real file where there is one, else one clean and one dirty sample."""

    name: ClassVar[str] = "campaigns"

    #: Rows and rejects that the generated samples hold, by their own count.
    _made: tuple[int, int] | None = None

    def load(self) -> Sequence[Landed]:
        """Upload the files under the landing prefix, as any GCS client would."""
        client = GcsResource(project=self.env["GOOGLE_CLOUD_PROJECT"]).client()
        bucket = client.bucket(self.env["CAMPAIGNS_BUCKET"])
        landed = []
        for file in self._files():
            blob = bucket.blob(self.env["CAMPAIGNS_PREFIX"] + file.name)
            blob.upload_from_filename(str(file), content_type="text/csv")
            landed.append(Landed(bucket.name, blob.name, str(blob.generation)))
        client.close()
        return landed

    def figures(self, landed: Sequence[Landed]) -> Figures:
        """The ledger's counts over the uploaded files."""
        return ledger_figures(self._postgres(), landed)

    def verify(self, figures: Figures) -> Sequence[str]:
        """Recount every sink against the winners, and against the real file's known figures."""
        accounted = figures.written + figures.unchanged + figures.superseded + figures.rejected
        problems = []
        if figures.read != accounted:
            problems.append(f"{figures.read} rows read, {accounted} accounted for")
        if self._made is not None and (figures.read, figures.rejected) != self._made:
            problems.append(
                f"{figures.read} rows read and {figures.rejected} rejected, the samples hold "
                f"{self._made[0]} and {self._made[1]}"
            )
        expected, found = self._expected(), self._found()
        problems += [
            f"{what}: {found[what]} found, {count} expected"
            for what, count in expected.items()
            if found[what] != count
        ]
        problems += [
            f"{what}: {count} found, {expected['events']} expected"
            for what, count in self._copies().items()
            if count != expected["events"]
        ]
        if self._only_real_data(figures):
            problems += [
                f"{what}: {found[what]} found, the real file has {count}"
                for what, count in REAL_FIGURES.items()
                if found[what] != count
            ]
        return problems

    def answer(self, service: QueryService) -> Answer:
        """The five users most similar to one who took part in a campaign, and their campaigns."""
        with self._postgres().connect() as connection:
            row = connection.execute(
                "SELECT user_id FROM campaigns.record WHERE message_hash IS NOT NULL "
                "AND campaign IS NOT NULL GROUP BY user_id ORDER BY count(*) DESC, user_id LIMIT 1"
            ).fetchone()
            if row is None:
                return Answer(["No user has both a message and a campaign."])
            user = str(row[0])
            found = service.ask("v1", "campaigns", "users", user, "recommendations")["answer"]
            client = self._milvus().client()
            try:
                profiles = self.env["CAMPAIGNS_MILVUS_PROFILES"]
                wrong = list(recount.problems(found, user, client, profiles, connection))
            finally:
                client.close()
        lines = [f"  The users most similar to {user}, and their campaigns by engagement:"]
        lines += [f"    {one['user_id']:<12} {one['score']:.6f}" for one in found["similar"]]
        lines += [
            f"    {one['campaign']:<28} {one['events']} events by {one['users']} of them,"
            f" last {datetime.fromisoformat(one['last_at']):%F %T}"
            for one in found["campaigns"]
        ]
        return Answer(lines, wrong)

    def _files(self) -> Sequence[Path]:
        if self.data_dir is not None:
            return [self.data_dir / "campaigns" / "campaign_events.csv"]
        from samples.campaigns import Shape, write

        folder = self.work_dir / "campaigns"
        folder.mkdir(parents=True, exist_ok=True)
        clean, dirty = folder / "events.csv", folder / "events_with_defects.csv"
        shape = Shape(rows=SAMPLE_ROWS)
        made = [write(clean, shape, seed=1), write(dirty, shape, seed=2, dirty=True)]
        self._made = (
            sum(manifest.events + len(manifest.rejects) for manifest in made),
            sum(len(manifest.rejects) for manifest in made),
        )
        return [clean, dirty]

    def _only_real_data(self, figures: Figures) -> bool:
        if self.data_dir is None:
            return False
        with self._postgres().connect() as connection:
            row = connection.execute(
                "SELECT count(DISTINCT key) FROM landing.object_version"
            ).fetchone()
        return row == (figures.objects,)

    def _expected(self) -> dict[str, int]:
        with self._postgres().connect() as connection:
            row = connection.execute(_EXPECTED).fetchone() or (0,) * 7
        names = (
            "events", "users", "campaigns", "part_of", "participated_in", "messages", "profiles",
        )  # fmt: skip
        counts = dict(zip(names, (int(n) for n in row), strict=True))
        return {**counts, "performed": counts["events"]}

    def _found(self) -> dict[str, int]:
        return {**self._graph_counts(), **self._vector_counts()}

    def _graph_counts(self) -> dict[str, int]:
        statements = {
            "users": "MATCH (n:User) RETURN count(n) AS n",
            "events": "MATCH (n:Event) RETURN count(n) AS n",
            "campaigns": "MATCH (n:Campaign) RETURN count(n) AS n",
            "performed": "MATCH ()-[r:PERFORMED]->() RETURN count(r) AS n",
            "part_of": "MATCH ()-[r:PART_OF]->() RETURN count(r) AS n",
            "participated_in": "MATCH ()-[r:PARTICIPATED_IN]->() RETURN count(r) AS n",
        }
        with self._neo4j().driver() as driver:
            return {
                what: int(
                    driver.execute_query(text, database_=self.env["NEO4J_DATABASE"]).records[0]["n"]
                )
                for what, text in statements.items()
            }

    def _vector_counts(self) -> dict[str, int]:
        client = self._milvus().client()
        try:
            counts = {}
            for what, variable in (
                ("messages", "CAMPAIGNS_MILVUS_MESSAGES"),
                ("profiles", "CAMPAIGNS_MILVUS_PROFILES"),
            ):
                client.load_collection(self.env[variable])
                rows: list[dict[str, Any]] = client.query(
                    self.env[variable],
                    filter="",
                    output_fields=["count(*)"],
                    consistency_level="Strong",
                )
                counts[what] = int(rows[0]["count(*)"])
            return counts
        finally:
            client.close()

    def _copies(self) -> dict[str, int]:
        """How many records the sinks hold that keep a copy of every event."""
        mongo = MongoResource(uri=self.env["MONGO_URI"])
        with mongo.client() as client:
            database = client[self.env["CAMPAIGNS_MONGO_DATABASE"]]
            documents = database[self.env["CAMPAIGNS_MONGO_COLLECTION"]].count_documents({})
        with self._bigquery().client() as bigquery:
            table = table_id(bigquery.project, self.env["CAMPAIGNS_DATASET"], "user_events")
            [row] = query(
                bigquery, f"SELECT COUNT(*) AS n, COUNT(DISTINCT record_id) AS d FROM `{table}`"
            )
        return {
            "MongoDB documents": documents,
            "BigQuery rows": int(row["n"]),
            "BigQuery record ids": int(row["d"]),
        }

    def _postgres(self) -> PostgresResource:
        return PostgresResource(url=self.env["POSTGRES_URL"])

    def _bigquery(self) -> BigQueryResource:
        return BigQueryResource(
            project=self.env["GOOGLE_CLOUD_PROJECT"],
            api_endpoint=self.env.get("BIGQUERY_API_ENDPOINT", ""),
        )

    def _neo4j(self) -> Neo4jResource:
        return Neo4jResource(
            uri=self.env["NEO4J_URI"],
            user=self.env["NEO4J_USER"],
            password=self.env["NEO4J_PASSWORD"],
            database=self.env["NEO4J_DATABASE"],
        )

    def _milvus(self) -> MilvusResource:
        return MilvusResource(uri=self.env["MILVUS_URI"], token=self.env.get("MILVUS_TOKEN", ""))
