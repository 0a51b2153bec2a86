"""The ONNX file: what scikit-learn says, what it says of itself, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest

from assets.images.classifier import onnx_file
from assets.images.classifier.examples import HEADS
from assets.images.classifier.model import BLOCK, Classifier
from assets.images.classifier.onnx_file import Card, UnusableModelError
from landing.batch.failures import classify
from tests.unit.assets.images.classifier.conftest import Model
from tests.unit.assets.images.classifier.drawn import picture, product


def test_labels_and_scores_are_scikit_learns(model: Model) -> None:
    vectors = np.concatenate([one.vectors for one in model.views])
    classifier = Classifier(model.data)
    scores = classifier.scores(vectors)
    fitted = model.trained.fitted
    reduced = fitted.components.transform(vectors.astype(float))
    for head in HEADS:
        labels = classifier.card.labels[head]
        assert [labels[n] for n in scores[head].argmax(axis=1)] == fitted.labels(head, vectors)
        wanted = fitted.models[head].predict_proba(reduced)
        np.testing.assert_allclose(scores[head], wanted, atol=1e-3)


def test_the_card_is_in_the_file(model: Model) -> None:
    card = Classifier(model.data).card
    assert card == dataclasses.replace(model.card)
    assert card.training_images + card.holdout_images == 160
    assert set(card.accuracy or {}) == set(card.baseline or {}) == set(HEADS)


def test_predictions_come_in_order_and_broken_images_are_none(model: Model) -> None:
    numbers = [*range(BLOCK + 5)]
    images = [picture(number) for number in numbers]
    images[3] = images[BLOCK] = b"broken"
    found = list(Classifier(model.data).predict(iter(images)))
    assert len(found) == len(images)
    assert found[3] is None
    assert found[BLOCK] is None
    right = 0
    for number, one in zip(numbers, found, strict=True):
        if one is not None:
            assert 0 < one.article_type.score <= 1
            right += (one.article_type.label, one.base_colour.label) == product(number)
    assert right > 0.9 * len(numbers)


def test_images_are_taken_a_block_at_a_time(model: Model) -> None:
    taken = 0

    def images() -> Any:
        nonlocal taken
        for _ in range(3 * BLOCK):
            taken += 1
            yield picture(1)

    found = Classifier(model.data).predict(images())
    next(found)
    assert taken == BLOCK
    assert list(Classifier(model.data).predict([])) == []


def _changed(model: Model, change: Callable[[onnx.ModelProto], None]) -> bytes:
    proto = onnx.load_from_string(model.data)
    change(proto)
    return bytes(proto.SerializeToString())


def _card(proto: onnx.ModelProto, **values: Any) -> None:
    said = json.loads(proto.metadata_props[0].value)
    proto.metadata_props[0].value = json.dumps({**said, **values})


def _without(proto: onnx.ModelProto, field: str) -> None:
    said = json.loads(proto.metadata_props[0].value)
    del said[field]
    proto.metadata_props[0].value = json.dumps(said)


def _narrow(proto: onnx.ModelProto) -> None:
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 7
    for constant in proto.graph.initializer:
        if constant.name.endswith("_weights"):
            short = onnx.numpy_helper.to_array(constant)[:7]
            constant.CopyFrom(onnx.numpy_helper.from_array(short, constant.name))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_narrow, "features is tensor\\(float\\) .*7.*, not tensor\\(float\\)"),
        (lambda proto: proto.ClearField("metadata_props"), "no 'quintet'"),
        (lambda proto: _without(proto, "labels"), "can't be read"),
        (lambda proto: _card(proto, labels={}), "0 labels of master_category"),
        (lambda proto: _card(proto, labels={"master_category": ["a"]}), "1 labels of"),
        (lambda proto: _card(proto, version=""), "no version"),
        (lambda proto: _card(proto, feature_version="hog-0"), "version hog-0, ours are"),
        (lambda proto: proto.graph.output.pop(), "it gives no base_colour_scores"),
    ],
)
def test_what_does_not_fit_is_refused(
    model: Model, change: Callable[[onnx.ModelProto], None], says: str
) -> None:
    with pytest.raises(UnusableModelError, match=says) as caught:
        Classifier(_changed(model, change))
    assert classify(caught.value) == "permanent"


def test_another_input_is_refused(model: Model) -> None:
    def renamed(proto: onnx.ModelProto) -> None:
        proto.graph.input[0].name = "pixels"
        for node in proto.graph.node:
            for position, name in enumerate(node.input):
                if name == "features":
                    node.input[position] = "pixels"

    with pytest.raises(UnusableModelError, match="it takes pixels, not features"):
        Classifier(_changed(model, renamed))


@pytest.mark.parametrize("data", [b"", b"no model", b"\x08\x08"])
def test_what_is_no_model_is_refused(data: bytes) -> None:
    with pytest.raises(UnusableModelError):
        Classifier(data)


def test_a_card_that_is_no_json_is_refused() -> None:
    with pytest.raises(UnusableModelError, match="can't be read"):
        Card.read({"quintet": "{"})


def test_more_may_be_said_than_is_known(model: Model) -> None:
    data = _changed(model, lambda proto: _card(proto, author="somebody"))
    assert Classifier(data).version == model.card.version
    assert onnx_file.INPUT == "features"
