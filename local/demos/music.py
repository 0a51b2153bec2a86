"""The demo of music: song files into the raw bucket, counts in every table and index, one search.

Belongs here: what is loaded, recounted and asked. Does not: the course of the demo (``demo``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landing.stores.minio import MinioStore
from local.demos.asking import QueryService
from local.demos.pipeline import Answer, Figures, Landed, PipelineDemo, ledger_figures
from resources.milvus import MilvusResource
from resources.minio import MinioResource
from resources.postgres import PostgresResource
from resources.typesense import TypesenseResource

if TYPE_CHECKING:
    import psycopg

#: What the real files hold, counted apart from this code.
REAL_FIGURES: Mapping[str, int] = {
    "records": 9_938,
    "songs": 1_539,
    # 71 JSON objects, 17 HDF5 files, 16 tracks in both.
    "songs with a Million Song id": 72,
    "songs with words of musiXmatch": 23,
    "songs with a hymn's text": 210,
}
REAL_REJECTED_OBJECTS = 1

SAMPLE_SONGS = 80

_REMOVAL_SECONDS = 60.0

#: What a listener might ask of each kind of lyrics.
_REAL_TERM, _SAMPLE_TERM = "redemption", "river"

_COUNTS = {
    "records": "SELECT count(*) FROM music.record",
    "songs": "SELECT count(*) FROM music.fact_song",
    "songs with a Million Song id": (
        "SELECT count(*) FROM music.fact_song WHERE song_key LIKE 'SO%'"
    ),
    # Its words, or a text that was found before they came: which, depends on the batches.
    "songs with words of musiXmatch": (
        "SELECT count(*) FROM music.song_lyrics l WHERE l.status = 'found' AND EXISTS (SELECT FROM"
        " music.song_source s WHERE s.song_key = l.song_key AND s.format = 'musixmatch')"
    ),
    "songs with a hymn's text": (
        "SELECT count(*) FROM music.song_lyrics WHERE source_record LIKE '%:lyrics:%'"
    ),
    "gold songs": "SELECT count(*) FROM music.song_details",
    "songs by genre and year": "SELECT coalesce(sum(songs), 0) FROM music.genre_by_year",
    "songs with a genre": (
        "SELECT count(*) FROM music.fact_song JOIN music.dim_genre USING (genre_key)"
        " WHERE name <> 'Unknown'"
    ),
    "song sources": "SELECT count(*) FROM music.song_source",
    "files of plays": "SELECT count(*) FROM music.play_file",
    "plays": "SELECT count(*) FROM music.fact_play",
    "pairs of files of plays": "SELECT coalesce(sum(pairs), 0) FROM music.play_file",
    "songs with lyrics": "SELECT count(*) FROM music.song_details WHERE has_lyrics",
    "archived files still in raw": (
        "SELECT count(*) FROM music.archived_object WHERE removal IS NULL"
    ),
    "undecided lyrics": "SELECT count(*) FROM music.fact_song f LEFT JOIN music.song_lyrics l"
    " USING (song_key) WHERE l.song_key IS NULL",
}
_REJECTED = "SELECT key FROM landing.object_version WHERE bucket = %s AND outcome = 'rejected'"
_LANDED = "SELECT count(DISTINCT key) FROM landing.object_version WHERE bucket = %s"
_BY_KEY = (
    "SELECT d.title, d.artist, d.year, l.text FROM music.song_details AS d"
    " JOIN music.song_lyrics AS l USING (song_key) WHERE song_key = %s"
)
_BY_DECADE = (
    "SELECT year / 10 * 10, count(*) FROM music.song_details WHERE year IS NOT NULL GROUP BY 1"
)


class MusicDemo(PipelineDemo):
    """The real files where they are, else generated ones of every format."""

    name: ClassVar[str] = "music"

    #: Songs, records, plays and refused files that the generated samples hold, by their own count.
    _made: tuple[int, int, int, int] | None = None

    def load(self) -> Sequence[Landed]:
        """Upload the files into the raw bucket, in folders, as any S3 client would."""
        store = MinioStore(self._minio().client(), self.env["MUSIC_RAW_BUCKET"])
        landed = []
        for file, key in self._files():
            with file.open("rb") as stream:
                version = store.put(self.env.get("MUSIC_RAW_PREFIX", "") + key, stream)
            landed.append(Landed(store.bucket, version.key, version.version))
        return landed

    def figures(self, landed: Sequence[Landed]) -> Figures:
        """The ledger's counts over the uploaded files."""
        return ledger_figures(self._postgres(), landed)

    def verify(self, figures: Figures) -> Sequence[str]:
        """Recount the tables and indexes against each other and against the files' own figures."""
        counts = self._when_removed()
        accounted = figures.written + figures.unchanged + figures.superseded + figures.rejected
        must = {
            "rows accounted for": (accounted, figures.read),
            "song sources and files of plays": (
                counts["song sources"] + counts["files of plays"],
                counts["records"],
            ),
            "plays": (counts["plays"], counts["pairs of files of plays"]),
            "gold songs": (counts["gold songs"], counts["songs"]),
            "songs by genre and year": (
                counts["songs by genre and year"],
                counts["songs with a genre"],
            ),
            "songs without a lyrics status": (counts["undecided lyrics"], 0),
            **self._indexed(counts),
            **(self._expected(counts) if self._only(figures) else {}),
        }
        problems = [
            f"{what}: {found} found, {expected} expected"
            for what, (found, expected) in must.items()
            if found != expected
        ]
        return problems + self._left_in_raw(counts, alone=self._only(figures))

    def answer(self, service: QueryService) -> Answer:
        """The songs whose lyrics answer a term best, by meaning and by words."""
        term = _REAL_TERM if self.data_dir is not None else _SAMPLE_TERM
        lines = [f"  The songs whose lyrics answer “{term}” best, by meaning and by words:"]
        every = service.ask("v1", "music", "songs", q="*")["answer"]
        with self._postgres().connect() as connection:
            wrong = list(_miscounted(every, connection))
            for match in service.ask("v1", "music", "lyrics", q=term, limit=5)["answer"]:
                title, artist, year, text = (
                    connection.execute(_BY_KEY, [match["song_key"]]).fetchone() or (None,) * 4
                )
                passage = " ".join(match["passage"].split())
                by = f"{artist}, {year or 'year unknown'}"
                lines.append(f"    {match['score']:.6f}  {title} ({by}): {passage[:60]}")
                # Of some songs only the words are known, in no order.
                if text and passage not in " ".join(text.split()):
                    wrong.append(f"{title} does not hold {passage!r}")
        return Answer(lines, wrong)

    def _files(self) -> Iterator[tuple[Path, str]]:
        """Files and their keys."""
        if self.data_dir is not None:
            root = self.data_dir / "music"
            for name, pattern in (
                ("h5", "*.h5"),
                ("h5_bad", "*.h5"),
                ("song_json", "**/*.json"),
                ("mxm", "mxm_dataset_*.txt"),
                ("hymns", "*.json"),
            ):
                for file in sorted((root / name).glob(pattern)):
                    yield file, str(file.relative_to(root))
            yield root / "MSD_master_data.csv", "MSD_master_data.csv"
            return
        from samples.music import write

        folder = self.work_dir / "music"
        folder.mkdir(parents=True, exist_ok=True)
        manifest = write(folder, seed=1, songs=SAMPLE_SONGS)
        figures = manifest.as_json()
        refused = sum(1 for file in manifest.files.values() if file.reason)
        songs, records, plays = (int(str(figures[name])) for name in ("songs", "records", "plays"))
        self._made = (songs, records, plays, refused)
        for name in manifest.files:
            yield folder / name, name

    def _expected(self, counts: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """What the files hold."""
        if self._made is None:
            return {what: (counts[what], count) for what, count in REAL_FIGURES.items()}
        made = dict(zip(("songs", "records", "plays"), self._made, strict=False))
        return {f"{what} of the files": (counts[what], count) for what, count in made.items()}

    def _indexed(self, counts: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        from assets.music.answers import lyrics_index, song_index, songs_with_lyrics

        with TypesenseResource(
            url=self.env["TYPESENSE_URL"], api_key=self.env["TYPESENSE_API_KEY"]
        ).client() as client:
            documents = song_index(client, self.env["MUSIC_TYPESENSE_COLLECTION"]).count()
        milvus = self._milvus().client()
        try:
            name, model = self.env["MUSIC_MILVUS_LYRICS"], self.env["OPENAI_EMBEDDING_MODEL"]
            with_vectors = songs_with_lyrics(lyrics_index(milvus, name, model))
        finally:
            milvus.close()
        return {
            "songs in Typesense": (documents, counts["songs"]),
            "songs in Milvus": (with_vectors, counts["songs with lyrics"]),
        }

    def _only(self, figures: Figures) -> bool:
        """Whether nothing but the demo's files was ever loaded."""
        with self._postgres().connect() as connection:
            row = connection.execute(_LANDED, [self.env["MUSIC_RAW_BUCKET"]]).fetchone()
        return row == (figures.objects,)

    def _left_in_raw(self, counts: Mapping[str, int], *, alone: bool) -> list[str]:
        """Only files that were refused may stay."""
        bucket = self.env["MUSIC_RAW_BUCKET"]
        listed = self._minio().client().list_objects(bucket, recursive=True)
        left = {str(entry.object_name) for entry in listed}
        with self._postgres().connect() as connection:
            refused = {row[0] for row in connection.execute(_REJECTED, [bucket])}
        problems = [f"still in raw: {key}" for key in sorted(left - refused)]
        problems += [f"refused and gone from raw: {key}" for key in sorted(refused - left)]
        if counts["archived files still in raw"]:
            problems.append(f"{counts['archived files still in raw']} archived files not removed")
        expected = REAL_REJECTED_OBJECTS if self._made is None else self._made[3]
        if alone and len(refused) != expected:
            problems.append(f"{len(refused)} files refused, {expected} expected")
        return problems

    def _when_removed(self) -> dict[str, int]:
        """The counts once raw is cleared: that is the last step of a run, after its sinks."""
        end = time.monotonic() + _REMOVAL_SECONDS
        counts = self._counted()
        while counts["archived files still in raw"] and time.monotonic() < end:
            time.sleep(1)
            counts = self._counted()
        return counts

    def _counted(self) -> dict[str, int]:
        with self._postgres().connect() as connection:
            rows = {what: connection.execute(query).fetchone() for what, query in _COUNTS.items()}
        return {what: int(row[0]) if row else 0 for what, row in rows.items()}

    def _postgres(self) -> PostgresResource:
        return PostgresResource(url=self.env["POSTGRES_URL"])

    def _minio(self) -> MinioResource:
        return MinioResource(
            endpoint=self.env["MINIO_ENDPOINT"],
            access_key=self.env["MINIO_ACCESS_KEY"],
            secret_key=self.env["MINIO_SECRET_KEY"],
        )

    def _milvus(self) -> MilvusResource:
        return MilvusResource(uri=self.env["MILVUS_URI"], token=self.env.get("MILVUS_TOKEN", ""))


def _miscounted(every: Mapping[str, Any], connection: psycopg.Connection[Any]) -> Iterator[str]:
    """How the search over all songs differs from gold."""
    decades = {int(row[0]): row[1] for row in connection.execute(_BY_DECADE)}
    songs = connection.execute(_COUNTS["gold songs"]).fetchone()
    for what, said, counted in (
        ("songs", every["found"], songs[0] if songs else 0),
        ("songs by decade", dict(every["decades"]), decades),
    ):
        if said != counted:
            yield f"{what}: {said} found, {counted} counted"
