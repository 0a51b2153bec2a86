"""Models in the bucket: the pointer last, what is broken is told."""

from __future__ import annotations

import json

import pytest

from assets.images.classifier import stored
from assets.images.classifier.onnx_file import UnusableModelError
from landing.batch.failures import PermanentError
from resources.classifier import ClassifierResource
from resources.minio import MinioResource
from tests.memory_store import MemoryStore, PutRefused
from tests.unit.assets.images.classifier.conftest import Model

MINIO = MinioResource(endpoint="http://127.0.0.1:1", access_key="a", secret_key="b")


def _publish(store: MemoryStore, model: Model, version: str = "v1") -> stored.Pointer:
    return stored.publish(store, version, model.data, code=("f", "1"), learned=["b", "a"])


def test_what_was_published_is_used(model: Model) -> None:
    store = MemoryStore()
    pointer = _publish(store, model)
    assert stored.latest(store) == pointer
    assert stored.learned(store, "v1") == ["a", "b"]
    assert stored.chosen(ClassifierResource(), MINIO, store).card == model.card


def test_the_pointer_is_written_last(model: Model) -> None:
    store = MemoryStore()
    _publish(store, model, "v1")
    for puts in range(3):
        store.puts_left = puts
        with pytest.raises(PutRefused):
            _publish(store, model, "v2")
        found = stored.latest(store)
        assert found is not None
        assert found.version == "v1"
        stored.trained(store)


def test_without_one_it_is_told() -> None:
    assert stored.latest(MemoryStore()) is None
    assert stored.learned(MemoryStore(), "v1") == []
    with pytest.raises(stored.NoModelError, match="materialize images/image_classifier"):
        stored.trained(MemoryStore())


def test_a_lost_or_changed_file_is_told(model: Model) -> None:
    store = MemoryStore()
    pointer = _publish(store, model)
    store.put(pointer.key, b"other")
    with pytest.raises(UnusableModelError, match="not the file that was published"):
        stored.trained(store)
    store.delete(pointer.key)
    with pytest.raises(stored.NoModelError, match="is lost"):
        stored.trained(store)


@pytest.mark.parametrize("data", [b"{", b"[]", b"null", json.dumps({"version": "1"}).encode()])
def test_a_broken_pointer_is_told(data: bytes) -> None:
    store = MemoryStore()
    store.put(stored.LATEST, data)
    with pytest.raises(PermanentError, match=r"latest\.json"):
        stored.latest(store)


def test_an_address_that_leads_nowhere_is_permanent() -> None:
    resource = ClassifierResource(url="ftp://somewhere/model.onnx")
    with pytest.raises(UnusableModelError, match="ftp"):
        stored.chosen(resource, MINIO, MemoryStore())
