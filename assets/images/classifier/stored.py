"""Where models lie: a folder per version in the bucket of models, the pointer to the latest last.

Belongs here: publishing one, and finding the one to be used. Does not: training, what a model is.

    classifier/<version>/model.onnx   the model
    classifier/<version>/learned.txt  the fingerprints of what it was made of, a line each
    classifier/latest.json            which version counts
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from assets.images.classifier.model import Classifier
from assets.images.classifier.onnx_file import UnusableModelError
from landing.batch.failures import PermanentError

if TYPE_CHECKING:
    from landing.stores.base import ObjectStore
    from resources.classifier import ClassifierResource
    from resources.minio import MinioResource

FOLDER = "classifier"
LATEST = f"{FOLDER}/latest.json"


class NoModelError(PermanentError):
    """No model was trained yet, and none is configured."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """Which model counts: its version, its file with its digest, the versions of what made it."""

    version: str
    key: str
    sha256: str
    code: tuple[str, ...] = ()


def publish(
    store: ObjectStore,
    version: str,
    model: bytes,
    *,
    code: tuple[str, ...],
    learned: Iterable[str],
) -> Pointer:
    """Write a model, then the pointer to it: a reader finds a whole one or the one before.

    Raises what the store raises.
    """
    digest = hashlib.sha256(model).hexdigest()
    pointer = Pointer(version, f"{FOLDER}/{version}/model.onnx", digest, code)
    store.put(pointer.key, model)
    lines = "".join(f"{one}\n" for one in sorted(learned)).encode()
    store.put(f"{FOLDER}/{version}/learned.txt", lines, content_type="text/plain")
    store.put(LATEST, json.dumps(asdict(pointer)).encode(), content_type="application/json")
    return pointer


def latest(store: ObjectStore) -> Pointer | None:
    """The model that counts; None before the first. Raises PermanentError for a broken pointer."""
    try:
        said = json.loads(store.get(LATEST))
        return Pointer(said["version"], said["key"], said["sha256"], tuple(said["code"]))
    except KeyError as error:
        if error.args == (LATEST,):
            return None
        raise PermanentError(f"{LATEST} has no {error}") from error
    except (ValueError, TypeError) as error:
        raise PermanentError(f"{LATEST} can't be read: {error}") from error


def learned(store: ObjectStore, version: str) -> list[str]:
    """The fingerprints of what a model was made of; none for a model that is not there."""
    try:
        return store.get(f"{FOLDER}/{version}/learned.txt").decode().split()
    except KeyError:
        return []


def trained(store: ObjectStore) -> Classifier:
    """The latest model that the graph made.

    Raises NoModelError, UnusableModelError: it is not what was published, or of other code.
    """
    pointer = latest(store)
    if pointer is None:
        raise NoModelError("no model was trained yet: materialize images/image_classifier")
    try:
        data = store.get(pointer.key)
    except KeyError as error:
        raise NoModelError(f"{pointer.key} is lost: materialize images/image_classifier") from error
    if hashlib.sha256(data).hexdigest() != pointer.sha256:
        raise UnusableModelError(f"{pointer.key} is not the file that was published")
    return Classifier(data)


def chosen(resource: ClassifierResource, minio: MinioResource, store: ObjectStore) -> Classifier:
    """The model that the resource names, else the latest of ``store``, the bucket of models.

    Raises UnusableModelError, NoModelError, and what fetching it raises.
    """
    from resources.classifier import RefusedModelError

    try:
        data = resource.fetch(minio)
    except RefusedModelError as error:
        raise UnusableModelError(str(error)) from error
    return trained(store) if data is None else Classifier(data)
