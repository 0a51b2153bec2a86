"""The file that a model is: one linear graph in ONNX, and in it all that is known of the model.

Belongs here: writing it, and reading what it says of itself. Does not: learning (``training.py``),
predicting (``model.py``), where the file lies (``stored.py``).

One matrix, one bias and a softmax per head are written with ``onnx.helper``: skl2onnx would make a
graph for each head, to be merged, of steps that come down to the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from landing.batch.failures import PermanentError

if TYPE_CHECKING:
    from assets.images.classifier.training import Trained

#: The names of the graph's input, (images, features), and of a head's output, (images, labels).
INPUT, OUTPUT = "features", "{head}_scores"

_OPSET, _IR = 17, 8
_KEY = "quintet"


class UnusableModelError(PermanentError):
    """The file is no model that takes our features; says what it lacks."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a model says of itself.

    ``labels`` are those of every head in the order of its scores, ``label_counts`` how many
    products that it was made of had which. Accuracies are shares of the products held out;
    ``confusion`` has the names, and counts by what the catalogue says and what was named.
    """

    version: str
    feature_version: str
    labels: Mapping[str, list[str]]
    training_images: int = 0
    holdout_images: int = 0
    accuracy: Mapping[str, float] | None = None
    accuracy_on_crops: Mapping[str, float] | None = None
    baseline: Mapping[str, float] | None = None
    confusion: Mapping[str, Any] | None = None
    label_counts: Mapping[str, Mapping[str, int]] | None = None

    @classmethod
    def read(cls, properties: Mapping[str, str]) -> Card:
        """From a file's ``metadata_props``. Raises UnusableModelError."""
        try:
            said = json.loads(properties[_KEY])
            card = cls(**{name: said[name] for name in cls.__dataclass_fields__ if name in said})
        except KeyError as error:
            raise UnusableModelError(f"its metadata_props have no {error}") from error
        except (TypeError, ValueError) as error:
            raise UnusableModelError(f"its metadata_props can't be read: {error}") from error
        if not isinstance(card.version, str) or not card.version:
            raise UnusableModelError("its metadata_props have no version")
        return card


def card(trained: Trained, version: str, label_counts: Mapping[str, Mapping[str, int]]) -> Card:
    """What is known of a model that was just trained."""
    from assets.images.classifier.examples import HEADS
    from assets.images.classifier.features import FEATURE_VERSION

    quality = trained.quality
    return Card(
        version=version,
        feature_version=FEATURE_VERSION,
        labels={head: list(trained.fitted.head(head).labels) for head in HEADS},
        training_images=trained.learned,
        holdout_images=trained.tested,
        accuracy={head: round(one.accuracy, 6) for head, one in quality.items()},
        accuracy_on_crops={head: round(one.crops, 6) for head, one in quality.items()},
        baseline={head: round(one.baseline, 6) for head, one in quality.items()},
        confusion={
            head: {"names": list(one.names), "counts": [list(row) for row in one.confusion]}
            for head, one in quality.items()
        },
        label_counts=label_counts,
    )


def written(trained: Trained, about: Card) -> bytes:
    """The model as an ONNX file. The same model gives the same bytes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from assets.images.classifier.features import WIDTH

    nodes, outputs, constants = [], [], []
    for name, labels in about.labels.items():
        head = trained.fitted.head(name)
        constants += [
            numpy_helper.from_array(head.weights, f"{name}_weights"),
            numpy_helper.from_array(head.bias, f"{name}_bias"),
        ]
        logits, scores = f"{name}_logits", OUTPUT.format(head=name)
        nodes += [
            helper.make_node("Gemm", [INPUT, f"{name}_weights", f"{name}_bias"], [logits]),
            helper.make_node("Softmax", [logits], [scores], axis=-1),
        ]
        shape: list[str | int | None] = ["images", len(labels)]
        outputs.append(helper.make_tensor_value_info(scores, TensorProto.FLOAT, shape))
    inputs = [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["images", WIDTH])]
    model = helper.make_model(
        helper.make_graph(nodes, "image_classifier", inputs, outputs, constants),
        producer_name="quintet",
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
    )
    helper.set_model_props(model, {_KEY: json.dumps(asdict(about), sort_keys=True)})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
