"""The pictures: they are drawn for any names and counts."""

from __future__ import annotations

from assets.images.classifier.charts import MOST_NAMES, confusion_picture, labels_picture


def test_a_confusion_matrix_is_a_picture_of_bounded_size() -> None:
    names = [f"label {n} $x$ [é字]" for n in range(3 * MOST_NAMES)]
    counts = [[n if n == m else 0 for m in range(len(names))] for n in range(len(names))]
    shown = confusion_picture(names, counts, "article type")
    assert shown.startswith("![article type](data:image/png;base64,")
    assert len(shown) < 150_000


def test_nothing_is_drawn_of_nothing() -> None:
    assert confusion_picture([], [], "x") == ""
    assert labels_picture({"master_category": {}}, "x") == ""


def test_labels_are_bars() -> None:
    shown = labels_picture({"master_category": {"Apparel": 3}, "colour": {}}, "labels")
    assert shown.startswith("![labels](data:image/png")
