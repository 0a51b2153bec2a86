"""The model of the real images: its goals, and onnxruntime's labels against scikit-learn's."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path

import numpy as np
import pytest

from assets.images.classifier import onnx_file, training
from assets.images.classifier.examples import HEADS, Example, label_counts, version_of
from assets.images.classifier.model import Classifier

GOALS = {"master_category": 0.96, "article_type": 0.73, "base_colour": 0.57}
#: What naming the commonest label gives.
BASELINES = {"master_category": 0.53, "article_type": 0.17, "base_colour": 0.23}

pytestmark = pytest.mark.skipif(
    "QUINTET_DATA_DIR" not in os.environ, reason="QUINTET_DATA_DIR is not set"
)


def _examples(folder: Path) -> list[Example]:
    images = {int(path.stem) for path in (folder / "images").glob("*.jpg")}
    with (folder / "styles.csv").open(encoding="utf-8", newline="") as file:
        # Unquoted commas are in the last column only.
        rows = list(csv.reader(file))[1:]
    return [
        Example(
            int(row[0]),
            f"images/{row[0]}.jpg",
            "",
            row[2],
            row[4],
            None if row[5] == "NA" else row[5],
        )
        for row in rows
        if int(row[0]) in images
    ]


def test_the_goals_are_met_on_products_held_out() -> None:
    folder = Path(os.environ["QUINTET_DATA_DIR"], "products")
    examples = _examples(folder)
    assert len(examples) == 2_000
    started = time.process_time()
    views = [training.views(one, (folder / one.key).read_bytes()) for one in examples]
    milliseconds = 1000 * (time.process_time() - started) / sum(len(one.vectors) for one in views)
    assert milliseconds < 10
    trained = training.train(views)
    assert (trained.learned, trained.tested) == (1_509, 491)
    for head, goal in GOALS.items():
        quality = trained.quality[head]
        assert quality.accuracy >= goal
        assert quality.baseline == pytest.approx(BASELINES[head], abs=0.01)
    card = onnx_file.card(trained, version_of(examples), label_counts(examples))
    classifier = Classifier(onnx_file.written(trained, card))
    vectors = np.concatenate([one.vectors for one in views])
    scores = classifier.scores(vectors)
    for head in HEADS:
        found = [card.labels[head][best] for best in scores[head].argmax(axis=1)]
        assert found == trained.fitted.labels(head, vectors)
