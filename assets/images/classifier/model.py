"""A model in use: from image files to labels with scores.

Belongs here: onnxruntime, and what a model must take and give. Does not: where a model comes from
(``stored.py``), the vectors (``features.py``), rows (``predicting.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from assets.images.classifier.examples import HEADS
from assets.images.classifier.onnx_file import INPUT, OUTPUT, Card, UnusableModelError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

#: Images whose vectors are held at a time: 2 MB.
BLOCK = 256


@dataclass(frozen=True, slots=True)
class Named:
    """A label, and the model's probability of it, 0 to 1."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class Prediction:
    """What an image shows."""

    master_category: Named
    article_type: Named
    base_colour: Named


class Classifier:
    """One model; safe to share among threads."""

    def __init__(self, data: bytes) -> None:
        """Load an ONNX file and see that it fits. Raises UnusableModelError."""
        import onnxruntime as ort

        options = ort.SessionOptions()
        # A matrix of a megabyte gains nothing from more; what calls it works on several images.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its kinds share no base but this one
            raise UnusableModelError(f"onnxruntime can't load it: {error}") from error
        self.card = Card.read(self._session.get_modelmeta().custom_metadata_map)
        _require_fit(self._session, self.card)

    @property
    def version(self) -> str:
        """What the model is called."""
        return self.card.version

    def predict(self, images: Iterable[bytes]) -> Iterator[Prediction | None]:
        """One for every image file, None for one that can't be read; BLOCK files at a time."""
        pending = iter(images)
        while block := list(islice(pending, BLOCK)):
            yield from self.named([vector_or_none(data) for data in block])

    def named(self, vectors: list[Vectors | None]) -> list[Prediction | None]:
        """One for every vector, (WIDTH,); None for None."""
        import numpy as np

        there = [vector for vector in vectors if vector is not None]
        if not there:
            return [None] * len(vectors)
        scores = self.scores(np.stack(there))
        best = {head: found.argmax(axis=1) for head, found in scores.items()}

        def name(head: str, row: int) -> Named:
            at = best[head][row]
            return Named(self.card.labels[head][at], float(scores[head][row, at]))

        found = iter(Prediction(*(name(head, row) for head in HEADS)) for row in range(len(there)))
        return [None if vector is None else next(found) for vector in vectors]

    def scores(self, vectors: Vectors) -> dict[str, Vectors]:
        """By head, probabilities of (images, labels) for vectors of (images, WIDTH)."""
        outputs = [OUTPUT.format(head=head) for head in HEADS]
        return dict(zip(HEADS, self._session.run(outputs, {INPUT: vectors}), strict=True))


def vector_or_none(data: bytes) -> Vectors | None:
    """The vector of an image file, (WIDTH,); None for one that can't be read."""
    from assets.images.classifier.features import UnreadableImageError, features

    try:
        return features(data)
    except UnreadableImageError:
        return None


def _require_fit(session: Any, card: Card) -> None:
    from assets.images.classifier.features import FEATURE_VERSION, WIDTH

    if card.feature_version != FEATURE_VERSION:
        raise UnusableModelError(
            f"it takes features of version {card.feature_version}, ours are {FEATURE_VERSION}"
        )
    taken = {one.name: one for one in session.get_inputs()}
    if set(taken) != {INPUT}:
        raise UnusableModelError(f"it takes {', '.join(sorted(taken))}, not {INPUT}")
    if taken[INPUT].type != "tensor(float)" or taken[INPUT].shape[1:] != [WIDTH]:
        raise UnusableModelError(
            f"{INPUT} is {taken[INPUT].type} {taken[INPUT].shape}, not tensor(float) (n, {WIDTH})"
        )
    given = {one.name: one for one in session.get_outputs()}
    for head in HEADS:
        output, labels = OUTPUT.format(head=head), card.labels.get(head) or []
        if output not in given:
            raise UnusableModelError(f"it gives no {output}")
        if not labels or given[output].shape[1:] != [len(labels)]:
            raise UnusableModelError(
                f"{output} is {given[output].shape}, with {len(labels)} labels of {head}"
            )


__all__ = ["BLOCK", "Classifier", "Named", "Prediction", "UnusableModelError", "vector_or_none"]
