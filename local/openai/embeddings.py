"""``/v1/embeddings``: limits of the real service, vectors of `local.embedder`.

Belongs here: what one request is answered. Does not: HTTP, nor how a vector is computed.
"""

from __future__ import annotations

import base64
import math
from typing import Any

from local.embedder import DIMENSIONS, Embedder
from local.fault_plan import BAD_VECTORS
from local.openai.account import Account
from local.openai.errors import invalid

_MOST_INPUTS = 2048
_MOST_TOKENS = 8192
_MOST_TOKENS_IN_ALL = 300_000


def embeddings(
    body: dict[str, Any], account: Account, fault: str, embedder: Embedder
) -> dict[str, Any]:
    """The answer to an embeddings request. Raises RefusedError (400) as OpenAI does."""
    texts = _texts(body.get("input"))
    dimensions = body.get("dimensions") or DIMENSIONS
    if not 1 <= dimensions <= DIMENSIONS:
        raise invalid(f"dimensions: 1 to {DIMENSIONS}", param="dimensions")
    counts = [len(embedder.tokens(text)) for text in texts]
    if max(counts) > _MOST_TOKENS:
        # In the real service's words.
        asked = max(counts)
        raise invalid(
            f"This model's maximum context length is {_MOST_TOKENS} tokens, however you requested"
            f" {asked} tokens ({asked} in your prompt; 0 for the completion). Please reduce your"
            " prompt; or completion length.",
            param="input",
        )
    if sum(counts) > _MOST_TOKENS_IN_ALL:
        raise invalid(f"at most {_MOST_TOKENS_IN_ALL} tokens a request", param="input")
    kept = {"empty": [], "truncated": texts[:-1]}.get(fault, texts)
    encode = _base64 if body.get("encoding_format") == "base64" else _floats
    data: list[dict[str, Any]] = [
        {
            "object": "embedding",
            "index": index,
            "embedding": encode(embedder.embed(text, dimensions)),
        }
        for index, text in enumerate(kept)
    ]
    if fault in BAD_VECTORS:
        data[0]["embedding"] = _spoilt(fault, dimensions)
    if fault == "ok":
        account.inputs += len(texts)
        account.embedding_tokens += sum(counts)
    usage = {"prompt_tokens": sum(counts), "total_tokens": sum(counts)}
    return {"object": "list", "data": data, "model": body.get("model"), "usage": usage}


def _texts(given: Any) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise invalid("input: a string or a list of strings", param="input")
    if not all(texts):
        raise invalid("input: cannot be an empty string", param="input")
    if len(texts) > _MOST_INPUTS:
        raise invalid(f"input: at most {_MOST_INPUTS} texts", param="input")
    return texts


def _spoilt(fault: str, dimensions: int) -> list[float] | None:
    return {
        "null_vector": None,
        "nan_vector": [math.nan] * dimensions,
        "zero_vector": [0.0] * dimensions,
        "short_vector": [1.0] * (dimensions - 1),
    }[fault]


def _base64(vector: Any) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")


def _floats(vector: Any) -> list[float]:
    numbers: list[float] = vector.tolist()
    return numbers
