"""How near lyrics must be to a term to mean it: a cosine, measured for each model of embeddings.

Belongs here: those floors. Does not: searching (``lyrics_search.py``), measuring (``benchmarks``).

Something is always nearest, so that without a floor a term that means nothing finds songs. What is
near depends on the model: unrelated texts have a cosine of about 0.1 in one space and of 0.7 in
another. A model's floor is what ``python -m benchmarks.search`` prints for it, with the variables
of its API set.
"""

from __future__ import annotations

#: Every song has a rank.
NO_FLOOR = -1.0
#: By the name of the model that makes the vectors.
FLOORS: dict[str, float] = {"local-wordllama256-ngrams": 0.18}


def floor_of(model: str) -> float:
    """The least cosine that counts with this model; none for one that was not measured."""
    return FLOORS.get(model, NO_FLOOR)
