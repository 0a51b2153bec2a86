"""A model of generated products, trained once."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from assets.images.classifier import onnx_file, training
from assets.images.classifier.examples import Example, label_counts, version_of
from tests.unit.assets.images.classifier.drawn import example, picture


@dataclass(frozen=True)
class Model:
    examples: list[Example]
    views: list[training.Views]
    trained: training.Trained
    card: onnx_file.Card
    data: bytes


@pytest.fixture(scope="session")
def model() -> Model:
    some = [example(number) for number in range(160)]
    views = [training.views(one, picture(one.product_id)) for one in some]
    trained = training.train(views)
    card = onnx_file.card(trained, version_of(some), label_counts(some))
    return Model(some, views, trained, card, onnx_file.written(trained, card))
