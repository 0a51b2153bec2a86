"""The model from tables and buckets to predictions of a task, on real servers."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg
import pytest
from PIL import Image

from assets.images.classifier import predicting, retraining, stored
from assets.images.classifier.examples import Example
from assets.images.classifier.model import Classifier
from assets.images.classifier.model_asset import (
    BEATS_BASELINE,
    image_classifier,
    labels_as_learned,
)
from assets.images.classifier.onnx_file import UnusableModelError
from assets.images.settings import ImagesSettings
from landing.batch.failures import TransientError
from landing.stores.minio import MinioStore
from resources.classifier import ClassifierResource, RefusedModelError
from resources.minio import MinioResource
from resources.postgres import PostgresResource
from tests.unit.assets.images.classifier.drawn import example, picture

pytestmark = pytest.mark.servers("postgres", "s3")

LOG = logging.getLogger(__name__)


@dataclass
class World:
    """The tables and three buckets of a test's own."""

    env: Mapping[str, str]
    connection: psycopg.Connection[Any]
    buckets: dict[str, str]

    @property
    def minio(self) -> MinioResource:
        return MinioResource(
            endpoint=self.env["MINIO_ENDPOINT"],
            access_key=self.env["MINIO_ACCESS_KEY"],
            secret_key=self.env["MINIO_SECRET_KEY"],
        )

    def store(self, name: str) -> MinioStore:
        return MinioStore(self.minio.client(), self.buckets[name])

    def land(self, product: Example, data: bytes) -> None:
        """As the catalogue's and the inventory's runs leave it."""
        self.store("products").put(product.key, data)
        self.connection.execute(
            """
            INSERT INTO images.product (id, master_category, article_type, base_colour, repaired,
                row_hash, ingested_at)
            VALUES (%s, %s, %s, %s, false, '', now())
            """,
            (
                product.product_id,
                product.master_category,
                product.article_type,
                product.base_colour,
            ),
        )
        self.connection.execute(
            """
            INSERT INTO images.image (product_id, key, version, modified_at, size, content, status,
                row_hash, ingested_at)
            VALUES (%s, %s, '1', now(), %s, %s, 'ok', '', now())
            """,
            (product.product_id, product.key, len(data), product.content),
        )

    def task(self, images: Mapping[int, bytes], *, predict: bool = True) -> str:
        """A task with these results, by product, and one product without an image."""
        task_id = uuid.uuid4().hex
        self.connection.execute(
            """
            INSERT INTO images.image_task (task_id, request, request_hash, source, requested_at)
            VALUES (%s, %s, '', '', now())
            """,
            (task_id, json.dumps({"predict": True} if predict else {})),
        )
        for number, (product_id, data) in enumerate(images.items(), 1):
            self.store("results").put(f"{task_id}/{product_id}.jpg", data)
            digest = hashlib.blake2b(data, digest_size=16).hexdigest()
            self._item(task_id, number, product_id, "ok", digest)
        self._item(task_id, len(images) + 1, 10**9, "missing", None)
        return task_id

    def _item(
        self, task_id: str, number: int, product_id: int, status: str, digest: str | None
    ) -> None:
        self.connection.execute(
            """
            INSERT INTO images.image_task_item
                (task_id, number, product_id, extension, status, digest)
            VALUES (%s, %s, %s, 'jpg', %s, %s)
            """,
            (task_id, number, product_id, status, digest),
        )

    def retrain(self, *, force: bool = False) -> retraining.Made | retraining.NotDue:
        with psycopg.connect(self.env["POSTGRES_URL"]) as connection:
            return retraining.retrain(
                connection, self.store("products"), self.store("models"), force=force, log=LOG
            )

    def rows(self, task_id: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            "SELECT *, xmin::text FROM images.image_task_prediction WHERE task_id = %s "
            "ORDER BY number",
            (task_id,),
        ).fetchall()

    def resources(self) -> dict[str, Any]:
        return {
            "postgres": PostgresResource(url=self.env["POSTGRES_URL"]),
            "minio": self.minio,
            "images": ImagesSettings(
                products_bucket=self.buckets["products"],
                models_bucket=self.buckets["models"],
                results_bucket=self.buckets["results"],
            ),
        }

    def materialize(self, *, force: bool = False) -> dg.ExecuteInProcessResult:
        config = {"ops": {"images__image_classifier": {"config": {"force": force}}}}
        return dg.materialize([image_classifier], resources=self.resources(), run_config=config)


@pytest.fixture
def world(env: dict[str, str]) -> Iterator[World]:
    mark = uuid.uuid4().hex[:8]
    buckets = {name: f"{name}-{mark}" for name in ("products", "results", "models")}
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        made = World(env, connection, buckets)
        for bucket in buckets.values():
            made.minio.client().make_bucket(bucket)
        yield made


@pytest.fixture
def filled(world: World) -> World:
    for number in range(80):
        world.land(example(number), picture(number))
    return world


def _model(world: World) -> Classifier:
    return stored.trained(world.store("models"))


def test_a_model_is_made_once_of_the_same(filled: World) -> None:
    made = filled.retrain()
    assert isinstance(made, retraining.Made)
    assert made.card.training_images + made.card.holdout_images == 80
    assert _model(filled).version == made.card.version
    again = filled.retrain()
    assert again == retraining.NotDue(
        "the same products, images and labels as before", made.card.version
    )
    forced = filled.retrain(force=True)
    assert isinstance(forced, retraining.Made)
    assert forced.pointer == made.pointer


def test_a_change_makes_another(filled: World) -> None:
    made = filled.retrain()
    filled.connection.execute("UPDATE images.product SET base_colour = 'Red' WHERE id = 1")
    filled.connection.execute("UPDATE images.product SET base_colour = 'Blue' WHERE id = 3")
    other = filled.retrain()
    assert isinstance(made, retraining.Made)
    assert isinstance(other, retraining.Made)
    assert other.card.version != made.card.version


def test_a_small_change_makes_none(filled: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made = filled.retrain()
    monkeypatch.setattr(retraining, "CHANGED_ENOUGH", 0.05)
    filled.connection.execute("UPDATE images.product SET base_colour = 'Pink' WHERE id = 1")
    again = filled.retrain()
    assert isinstance(made, retraining.Made)
    assert again == retraining.NotDue("2.50% of it changed, less than 5%", made.card.version)


def test_broken_and_lost_images_are_left_out(filled: World) -> None:
    filled.store("products").put("images/7.jpg", b"broken")
    filled.store("products").delete("images/8.jpg")
    made = filled.retrain()
    assert isinstance(made, retraining.Made)
    assert made.unreadable == 2
    assert made.card.training_images + made.card.holdout_images == 78


def test_the_asset_shows_its_figures_and_is_left_alone_then(filled: World) -> None:
    result = filled.materialize()
    (event,) = result.asset_materializations_for_node("images__image_classifier")
    shown = {name: value.value for name, value in event.metadata.items()}
    assert shown["training_images"] + shown["holdout_images"] == 80
    assert shown["master_category_accuracy"] > shown["master_category_baseline"]
    assert shown["master_category_confusion"].startswith("![master category")
    assert shown["labels"].startswith("![Labels")
    assert shown["dagster/uri"].endswith(f"/{shown['model_version']}/model.onnx")
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == (BEATS_BASELINE, True)
    again = filled.materialize()
    assert again.success
    assert not again.asset_materializations_for_node("images__image_classifier")
    (check,) = again.get_asset_check_evaluations()
    assert check.passed
    assert "the same products" in (check.description or "")


def test_too_few_images_make_no_model_and_no_failure(world: World) -> None:
    for number in range(10):
        world.land(example(number), picture(number))
    result = world.materialize()
    assert result.success
    assert not result.asset_materializations_for_node("images__image_classifier")
    (check,) = result.get_asset_check_evaluations()
    assert "10 products have labels and an image, 40 are needed" in (check.description or "")


def _drift(world: World) -> dg.AssetCheckResult:
    found = labels_as_learned(**world.resources())
    assert isinstance(found, dg.AssetCheckResult)
    return found


def test_labels_that_moved_are_told(filled: World) -> None:
    assert "no model" in (_drift(filled).description or "")
    filled.retrain()
    assert _drift(filled).passed
    filled.connection.execute("UPDATE images.product SET master_category = 'Home' WHERE id < 20")
    found = _drift(filled)
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "master_category: the catalogue has moved" in (found.description or "")
    assert found.metadata["master_category_distance"].value == pytest.approx(0.25)


def test_a_tasks_results_are_predicted_once(filled: World) -> None:
    filled.retrain()
    model = _model(filled)
    task_id = filled.task({number: picture(number) for number in range(100, 130)})
    counts = predicting.predict_task(
        filled.connection, filled.store("results"), model, task_id, LOG
    )
    assert (counts.predicted, counts.unchanged, counts.unreadable) == (30, 0, 0)
    assert counts.found.ok
    assert counts.found.expected == 30
    rows = filled.rows(task_id)
    assert [row[1] for row in rows] == list(range(1, 31))
    wanted = list(model.predict(picture(number) for number in range(100, 130)))
    for row, one in zip(rows, wanted, strict=True):
        assert one is not None
        assert row[2] == model.version
        assert row[4] == one.master_category.label
        assert row[5] == pytest.approx(one.master_category.score, abs=1e-5)
        assert (row[6], row[8]) == (one.article_type.label, one.base_colour.label)
    again = predicting.predict_task(filled.connection, filled.store("results"), model, task_id, LOG)
    assert (again.predicted, again.unchanged, again.removed) == (0, 30, 0)
    # Not even written again.
    assert filled.rows(task_id) == rows
    labels = predicting.label_counts(filled.connection, task_id)
    assert sum(labels["dominant_colour"].values()) == 30


def test_only_what_changed_is_predicted_again(filled: World) -> None:
    filled.retrain()
    store, model = filled.store("results"), _model(filled)
    task_id = filled.task({number: picture(number) for number in range(100, 110)})
    predicting.predict_task(filled.connection, store, model, task_id, LOG)
    before = filled.rows(task_id)
    filled.connection.execute(
        "UPDATE images.image_task_item SET digest = 'x' WHERE task_id = %s AND number = 2",
        (task_id,),
    )
    filled.connection.execute(
        "UPDATE images.image_task_item SET status = 'corrupt' WHERE task_id = %s AND number = 5",
        (task_id,),
    )
    counts = predicting.predict_task(filled.connection, store, model, task_id, LOG)
    assert (counts.predicted, counts.unchanged, counts.removed) == (1, 8, 1)
    after = filled.rows(task_id)
    assert [row[1] for row in after] == [1, 2, 3, 4, 6, 7, 8, 9, 10]
    assert [row for row in after if row[1] != 2] == [row for row in before if row[1] not in {2, 5}]


def test_another_model_leaves_what_was_predicted_and_predicts_the_rest(filled: World) -> None:
    filled.retrain()
    before = _model(filled).version
    store = filled.store("results")
    task_id = filled.task({number: picture(number) for number in range(100, 110)})
    predicting.predict_task(filled.connection, store, _model(filled), task_id, LOG)
    filled.connection.execute(
        "DELETE FROM images.image_task_prediction WHERE task_id = %s AND number = 1", (task_id,)
    )
    filled.connection.execute("UPDATE images.product SET base_colour = 'Red' WHERE id < 4")
    assert isinstance(filled.retrain(), retraining.Made)
    counts = predicting.predict_task(filled.connection, store, _model(filled), task_id, LOG)
    assert (counts.predicted, counts.unchanged) == (1, 9)
    now = _model(filled).version
    assert [row[2] for row in filled.rows(task_id)] == [now, *[before] * 9]


def test_results_that_are_no_image_have_a_row_without_labels(filled: World) -> None:
    filled.retrain()
    task_id = filled.task({100: picture(100), 101: b"broken", 102: picture(102)})
    for wanted in (3, 0):
        counts = predicting.predict_task(
            filled.connection, filled.store("results"), _model(filled), task_id, LOG
        )
        assert (counts.predicted, counts.unreadable, counts.found.ok) == (wanted, 1, True)
    assert [row[4] is None for row in filled.rows(task_id)] == [False, True, False]


def test_a_lost_result_is_worth_another_attempt_and_blocks_stay(
    filled: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predicting, "BLOCK", 4)
    filled.retrain()
    store, model = filled.store("results"), _model(filled)
    task_id = filled.task({number: picture(number) for number in range(100, 110)})
    store.delete(f"{task_id}/106.jpg")
    with pytest.raises(TransientError, match=r"106\.jpg is not in the bucket"):
        predicting.predict_task(filled.connection, store, model, task_id, LOG)
    assert len(filled.rows(task_id)) == 4
    store.put(f"{task_id}/106.jpg", picture(106))
    counts = predicting.predict_task(filled.connection, store, model, task_id, LOG)
    assert (counts.predicted, counts.unchanged) == (6, 4)


def test_who_does_not_ask_gets_none(filled: World) -> None:
    filled.retrain()
    task_id = filled.task({100: picture(100)}, predict=False)
    counts = predicting.predict_task(
        filled.connection, filled.store("results"), _model(filled), task_id, LOG
    )
    assert counts == predicting.Counts()
    assert not predicting.asked(filled.connection, "no such task")


def test_an_items_prediction_goes_with_it(filled: World) -> None:
    filled.retrain()
    task_id = filled.task({100: picture(100)})
    predicting.predict_task(
        filled.connection, filled.store("results"), _model(filled), task_id, LOG
    )
    filled.connection.execute("DELETE FROM images.image_task_item WHERE task_id = %s", (task_id,))
    assert not filled.rows(task_id)


def test_a_model_on_minio_takes_its_place(filled: World) -> None:
    made = filled.retrain()
    assert isinstance(made, retraining.Made)
    data = filled.store("models").get(made.pointer.key)
    filled.store("products").put("other/model.onnx", data)
    bucket = filled.buckets["products"]
    there = ClassifierResource(url=f"s3://{bucket}/other/model.onnx")
    empty = MinioStore(filled.minio.client(), "no-such-bucket")
    assert stored.chosen(there, filled.minio, empty).version == made.card.version
    small = ClassifierResource(url=there.url, most_bytes=100)
    with pytest.raises(UnusableModelError, match="more than 100 bytes"):
        stored.chosen(small, filled.minio, empty)
    for url in (f"s3://{bucket}/none.onnx", "s3://no-such-bucket-at-all/model.onnx"):
        with pytest.raises(RefusedModelError, match="there is no"):
            ClassifierResource(url=url).fetch(filled.minio)


def test_crops_as_tasks_make_them_are_understood(filled: World) -> None:
    filled.retrain()
    model, right = _model(filled), 0
    for number in range(100, 140):
        with Image.open(io.BytesIO(picture(number))) as image:
            crop = image.resize((256, 256), box=(6, 8, 54, 72))
        out = io.BytesIO()
        crop.save(out, "JPEG", quality=90)
        (found,) = model.predict([out.getvalue()])
        assert found is not None
        right += found.master_category.label == example(number).master_category
    assert right >= 32
