"""Learning what a product is from its image: logistic regression on the catalogue's own labels.

Belongs here: views of an image, fitting, measuring on the hold-out. Does not: which products
(``examples.py``), the file that a model becomes (``onnx_file.py``).
Imported lazily: needs numpy and scikit-learn.

Each image is learned four times: as it is, mirrored, and as two random crops, since results of
tasks are crops. Without those the master category of a crop of 0.8 x 0.8 was right for 82% of the
hold-out, with them for 90%. The features' first principal components go into one regression per
head. All of it is linear: a head comes down to one matrix and a bias.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np  # noqa: TID253
from threadpoolctl import threadpool_limits  # noqa: TID253

from assets.images.classifier import features
from assets.images.classifier.examples import FEWEST_IMAGES, HEADS, Example, held_out

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    Vectors = NDArray[np.float32]

#: Goes up when the same examples give another model.
TRAINING_VERSION = "1"

#: A label of fewer images that are learned from is not learned: it counts as wrong where it is held
#: out.
FEWEST_OF_A_LABEL = 3

#: How much each view counts: the image itself, mirrored, two crops of these shares.
_WEIGHTS = (2.0, 2.0, 1.0, 1.0)
_CROPS = (0.8, 0.9)
_COMPONENTS = 300
#: Inverse strengths of regularization.
_C = {"master_category": 0.3, "article_type": 0.1, "base_colour": 0.1}
_ITERATIONS, _TOLERANCE = 200, 1e-3


class TooFewImagesError(Exception):
    """There is not enough to learn from; says what is missing."""


@dataclass(frozen=True, slots=True)
class Views:
    """An image's vectors: those to learn from, as (4, WIDTH), or one to test on, with a crop."""

    example: Example
    vectors: Vectors


@dataclass(frozen=True, slots=True)
class Quality:
    """How a head did on the hold-out: shares that were right, of ``images`` of them.

    ``baseline`` is what naming the commonest label of the others gives, ``crops`` the accuracy on
    random crops of 0.8 x 0.8. ``confusion`` counts, by what the catalogue says and what was named,
    in the order of ``names``.
    """

    images: int
    accuracy: float
    crops: float
    baseline: float
    names: tuple[str, ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Head:
    """``labels`` in the order of the columns of ``weights``, (WIDTH, labels), and of ``bias``."""

    labels: tuple[str, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was learned; ``components`` and ``models`` are scikit-learn's own."""

    components: PCA
    models: Mapping[str, LogisticRegression]

    def labels(self, head: str, vectors: Vectors) -> list[str]:
        """What scikit-learn says of vectors, (n, WIDTH)."""
        named = self.models[head].predict(self.components.transform(vectors.astype(np.float64)))
        return [str(one) for one in named]

    def head(self, name: str) -> Head:
        """The two steps as one."""
        model = self.models[name]
        slopes, bias = model.coef_, model.intercept_
        if len(model.classes_) == 2:  # noqa: PLR2004 - one logit: as two with the same difference
            slopes, bias = np.vstack([-slopes, slopes]) / 2, np.hstack([-bias, bias]) / 2
        weights = self.components.components_.T @ slopes.T
        return Head(
            tuple(str(label) for label in model.classes_),
            weights.astype(np.float32),
            (bias - self.components.mean_ @ weights).astype(np.float32),
        )


@dataclass(frozen=True, slots=True)
class Trained:
    """A model with what is known of it."""

    fitted: Fitted
    learned: int
    tested: int
    quality: Mapping[str, Quality]


def views(example: Example, data: bytes) -> Views:
    """An image's vectors, the same ones each time. Raises features.UnreadableImageError."""
    image = features.decoded(data)
    crops = [_crop(image, example.product_id, share) for share in _CROPS]
    squares = [features.square(image)]
    if held_out(example.product_id):
        squares.append(features.square(image, crops[0]))
    else:
        squares.append(features.square(image, mirrored=True))
        squares += [features.square(image, box, mirrored=n == 1) for n, box in enumerate(crops)]
    return Views(example, np.stack([features.vector(one) for one in squares]))


def train(seen: Iterable[Views]) -> Trained:
    """Learn from what is not held out, and measure on what is.

    Takes up to a minute for 1,500 images, three for 6,000. Raises TooFewImagesError: fewer than
    FEWEST_IMAGES, none held out, or no two labels with FEWEST_OF_A_LABEL images each.
    """
    learn: list[Views] = []
    test: list[Views] = []
    for one in sorted(seen, key=lambda one: one.example.product_id):
        (test if held_out(one.example.product_id) else learn).append(one)
    if len(learn) + len(test) < FEWEST_IMAGES or not test:
        raise TooFewImagesError(
            f"{len(learn) + len(test)} products have labels and an image that can be read, "
            f"{FEWEST_IMAGES} are needed"
        )
    # With more threads sums come in another order, and the last digits depend on the machine.
    with threadpool_limits(1):
        fitted = _fit(learn)
        whole, crops = (np.stack([one.vectors[n] for one in test]) for n in range(2))
        quality = {
            head: _quality(
                head, learn, test, fitted.labels(head, whole), fitted.labels(head, crops)
            )
            for head in HEADS
        }
    return Trained(fitted, len(learn), len(test), quality)


def _fit(learn: Sequence[Views]) -> Fitted:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression

    plain = np.concatenate([one.vectors[:2] for one in learn]).astype(np.float64)
    # Both are exact, without a random start; the second one's time hardly depends on the rows.
    solver = "full" if len(plain) < features.WIDTH else "covariance_eigh"
    # There are at most as many components as products.
    components = PCA(min(_COMPONENTS, len(learn) - 1), svd_solver=solver).fit(plain)
    del plain
    reduced = np.stack([components.transform(one.vectors.astype(np.float64)) for one in learn])
    weights = np.array(_WEIGHTS) / np.mean(_WEIGHTS)
    models = {}
    for head in HEADS:
        said = [one.example.label(head) for one in learn]
        counts = Counter(label for label in said if label is not None)
        common = {label for label, count in counts.items() if count >= FEWEST_OF_A_LABEL}
        if len(common) < 2:  # noqa: PLR2004
            raise TooFewImagesError(
                f"{head}: {len(common)} labels have {FEWEST_OF_A_LABEL} images to learn from, two "
                "are needed"
            )
        rows = [n for n, label in enumerate(said) if label in common]
        model = LogisticRegression(C=_C[head], max_iter=_ITERATIONS, tol=_TOLERANCE)
        models[head] = model.fit(
            reduced[rows].reshape(-1, reduced.shape[-1]),
            np.repeat([said[n] for n in rows], len(weights)),
            sample_weight=np.tile(weights, len(rows)),
        )
    return Fitted(components, models)


def _quality(
    head: str,
    learn: Sequence[Views],
    test: Sequence[Views],
    named: Sequence[str],
    named_of_crops: Sequence[str],
) -> Quality:
    told = [
        (said, label, crop)
        for one, label, crop in zip(test, named, named_of_crops, strict=True)
        if (said := one.example.label(head)) is not None
    ]
    counts = Counter(said for one in learn if (said := one.example.label(head)) is not None)
    commonest = min(counts, key=lambda label: (-counts[label], label))
    pairs = Counter((said, label) for said, label, _ in told)
    names = tuple(sorted({name for pair in pairs for name in pair}))
    images = max(len(told), 1)
    return Quality(
        images=len(told),
        accuracy=sum(said == label for said, label, _ in told) / images,
        crops=sum(said == crop for said, _, crop in told) / images,
        baseline=sum(said == commonest for said, _, _ in told) / images,
        names=names,
        confusion=tuple(tuple(pairs[said, label] for label in names) for said in names),
    )


def _crop(image: Image.Image, product_id: int, share: float) -> tuple[float, float, float, float]:
    digest = hashlib.blake2b(f"{product_id} {share}".encode(), digest_size=8).digest()
    across, down = (int.from_bytes(digest[n : n + 4], "big") / 2**32 for n in (0, 4))
    left, top = (1 - share) * across * image.width, (1 - share) * down * image.height
    return left, top, left + share * image.width, top + share * image.height
