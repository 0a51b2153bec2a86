"""Learning: better than the baseline, the same each time, and what there must be to learn from."""

from __future__ import annotations

import dataclasses
import random

import numpy as np
import pytest

from assets.images.classifier import onnx_file, training
from assets.images.classifier.examples import HEADS, held_out
from tests.unit.assets.images.classifier.conftest import Model
from tests.unit.assets.images.classifier.drawn import example, picture


def test_it_learns_what_the_pictures_show(model: Model) -> None:
    for head in HEADS:
        quality = model.trained.quality[head]
        assert quality.accuracy > 0.9
        assert quality.crops > 0.7
        assert quality.baseline < 0.6
        assert sum(map(sum, quality.confusion)) == quality.images == model.trained.tested
        right = sum(quality.confusion[n][n] for n in range(len(quality.names)))
        assert right == round(quality.accuracy * quality.images)
    assert model.trained.learned + model.trained.tested == len(model.examples)


def test_the_same_examples_make_the_same_file_in_any_order(model: Model) -> None:
    mixed = list(model.views)
    random.Random(1).shuffle(mixed)
    trained = training.train(mixed)
    assert onnx_file.written(trained, model.card) == model.data


def test_what_is_held_out_is_not_learned(model: Model) -> None:
    """Whatever a held-out product is said to be, the model stays."""
    other = [
        dataclasses.replace(one, example=dataclasses.replace(one.example, article_type="Socks"))
        if held_out(one.example.product_id)
        else one
        for one in model.views
    ]
    trained = training.train(other)
    for head in HEADS:
        assert (trained.fitted.head(head).weights == model.trained.fitted.head(head).weights).all()
    assert trained.quality["article_type"].accuracy == 0


def test_a_rare_label_is_not_learned_and_counts_as_wrong(model: Model) -> None:
    learned = [one for one in model.views if not held_out(one.example.product_id)]
    tested = [one for one in model.views if held_out(one.example.product_id)]

    def named(one: training.Views, label: str) -> training.Views:
        return training.Views(dataclasses.replace(one.example, article_type=label), one.vectors)

    few = training.FEWEST_OF_A_LABEL - 1
    rare = [named(one, "Rare") for one in learned[:few]]
    trained = training.train([*rare, *learned[few:], named(tested[0], "Rare"), *tested[1:]])
    assert "Rare" not in trained.fitted.head("article_type").labels
    assert "Rare" in trained.quality["article_type"].names
    assert trained.quality["article_type"].images == len(tested)
    enough = [named(one, "Rare") for one in learned[: few + 1]]
    trained = training.train([*enough, *learned[few + 1 :], *tested])
    assert "Rare" in trained.fitted.head("article_type").labels


def test_an_unknown_colour_is_neither_learned_nor_tested(model: Model) -> None:
    other = [
        training.Views(dataclasses.replace(one.example, base_colour=None), one.vectors)
        if one.example.product_id % 2
        else one
        for one in model.views
    ]
    quality = training.train(other).quality
    assert quality["base_colour"].images < quality["article_type"].images
    assert None not in quality["base_colour"].names


def test_two_labels_are_enough(model: Model) -> None:
    two = [one for one in model.views if one.example.article_type != "Shoes"]
    fitted = training.train(two).fitted
    head = fitted.head("article_type")
    vectors = np.stack([one.vectors[0] for one in two])
    best = (vectors @ head.weights + head.bias).argmax(axis=1)
    assert [head.labels[n] for n in best] == fitted.labels("article_type", vectors)


def test_too_few_are_told(model: Model) -> None:
    with pytest.raises(training.TooFewImagesError, match=r"39 products .* 40 are needed"):
        training.train(model.views[:39])
    same = [
        training.Views(dataclasses.replace(one.example, base_colour="Red"), one.vectors)
        for one in model.views
    ]
    with pytest.raises(training.TooFewImagesError, match="base_colour: 1 labels"):
        training.train(same)


def test_sixty_images_are_enough() -> None:
    views = [training.views(example(n), picture(n)) for n in range(60)]
    trained = training.train(views)
    assert trained.learned + trained.tested == 60


def test_views_are_the_same_each_time() -> None:
    for number, kinds in ((0, 4), (2, 2)):
        views = training.views(example(number), picture(number))
        assert views.vectors.shape[0] == kinds
        assert (views.vectors == training.views(example(number), picture(number)).vectors).all()
        assert len({vector.tobytes() for vector in views.vectors}) == kinds
