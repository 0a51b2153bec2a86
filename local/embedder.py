"""Text to vectors without a model server: word vectors joined with hashed character n-grams.

The first 256 numbers are the mean of WordLlama's token vectors (meaning), the following 768 count
the text's character n-grams by hash (spelling: names, codes, words the vocabulary lacks). Each part
has unit length before it is weighted, the whole has unit length again. The same text gives the
same vector in every process and on every machine.

Runs in the servers' environment only (numpy, tokenizers, safetensors).
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

DIMENSIONS = 1024
_WORD_DIMENSIONS = 256
_GRAM_DIMENSIONS = DIMENSIONS - _WORD_DIMENSIONS
_GRAM_LENGTHS = (3, 4)
#: Shares of the squared length.
_WORD_SHARE, _GRAM_SHARE = 0.75, 0.25


class Embedder:
    """Computes vectors from the weights in ``package``, the directory of installed wordllama."""

    def __init__(self, package: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        weights = load_file(package / "weights" / "l2_supercat_256.safetensors")
        self._table: Any = weights["embedding.weight"].astype("float32")
        self._tokenizer = Tokenizer.from_file(
            str(package / "tokenizers" / "l2_supercat_tokenizer_config.json")
        )
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def tokens(self, text: str) -> list[int]:
        """The token numbers of ``text``."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def embed(self, text: str, dimensions: int = DIMENSIONS) -> npt.NDArray[np.float32]:
        """A float32 vector of ``dimensions`` (1 to 1,024) numbers and unit length.

        Fewer dimensions are the first of the 1,024, scaled to unit length again.
        """
        import numpy as np

        vector = np.zeros(DIMENSIONS, dtype=np.float32)
        ids = [number for number in self.tokens(text) if number < len(self._table)]
        if ids:
            words = self._table[ids].mean(axis=0)
            vector[:_WORD_DIMENSIONS] = _unit(words) * np.float32(_WORD_SHARE**0.5)
        vector[_WORD_DIMENSIONS:] = _unit(_grams(text)) * np.float32(_GRAM_SHARE**0.5)
        cut = vector[:dimensions]
        if not cut.any():
            cut[0] = 1.0
        return _unit(cut)


def _grams(text: str) -> npt.NDArray[np.float32]:
    import numpy as np

    counts = np.zeros(_GRAM_DIMENSIONS, dtype=np.float32)
    padded = f" {' '.join(text.lower().split())} "
    for length in _GRAM_LENGTHS:
        for start in range(len(padded) - length + 1):
            # crc32, because Python's own hash differs from process to process.
            number = zlib.crc32(padded[start : start + length].encode("utf-8", "surrogatepass"))
            counts[(number >> 1) % _GRAM_DIMENSIONS] += 1.0 if number & 1 else -1.0
    return counts


def _unit(vector: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import numpy as np

    length = np.linalg.norm(vector)
    return (vector / length).astype(np.float32) if length else vector
