"""HDF5 files from strangers: opened so that nothing outside of them is, in bounded memory.

Belongs here: links, storage, sizes. Does not: what the datasets mean (``hdf5.py``).
Source: https://docs.h5py.org/en/stable/high/group.html (kinds of links),
https://docs.h5py.org/en/stable/vds.html, and external storage in
https://docs.h5py.org/en/stable/high/group.html#h5py.Group.create_dataset. Refused are external
and user-defined links anywhere in the file, virtual datasets and external storage where they are
read, and sizes beyond ``Limits``: a small file may declare large rows and chunks.
h5py's low-level interface is used because it takes half the time of the high-level one for files
of a few rows.
Imported lazily: needs h5py and numpy.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, BinaryIO

import h5py  # noqa: TID253
import numpy as np  # noqa: TID253
from h5py import h5d, h5f, h5g, h5l, h5o, h5s, h5t  # noqa: TID253

from landing.batch.chunks import UnreadableObject

_MAGIC = b"\x89HDF\r\n\x1a\n"
#: The superblock stands at 0, or behind a user block of 512 bytes, 1,024, 2,048 and so on.
_USER_BLOCK = 512
#: Bytes of the smallest superblock, and where it has the address of the file's end, by version.
_SUPERBLOCK = 48
_END_OF_FILE = {0: 40, 1: 44, 2: 28, 3: 28}
_OFFSET_BYTES = 8

#: What h5py raises for a file that libhdf5 can't read.
H5_ERRORS = (OSError, RuntimeError, ValueError, KeyError, OverflowError)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what a file may ask for.

    ``memory_bytes`` is the largest file that is not put on disk, ``slice_rows`` how many songs
    are read at once, ``row_bytes`` the size of a row of a dataset, ``chunk_bytes`` what libhdf5
    unpacks at once, ``song_terms`` the terms of one song, ``slice_terms`` those read at once.
    """

    memory_bytes: int = 8 * 1024 * 1024
    slice_rows: int = 1_000
    row_bytes: int = 64 * 1024
    chunk_bytes: int = 64 * 1024 * 1024
    songs: int = 5_000_000
    song_terms: int = 1_000
    slice_terms: int = 200_000
    links: int = 10_000


class RefusedError(Exception):
    """The file is HDF5 but none that is read."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def is_hdf5(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is HDF5."""
    at = 0
    while at < len(head):
        if head.startswith(_MAGIC, at):
            return True
        at = at * 2 or _USER_BLOCK
    return False


@contextmanager
def opened(stream: BinaryIO, limits: Limits) -> Iterator[h5f.FileID]:
    """The file, from memory when it is small, else from a temporary file without a name."""
    head = _read_up_to(stream, limits.memory_bytes + 1)
    if len(head) <= limits.memory_bytes:
        try:
            image = h5f.open_file_image(head)
        except H5_ERRORS as error:
            detail = _cut_off(head, len(head)) or said(error)
            raise UnreadableObject("corrupt_hdf5", detail) from error
        yield image
        return
    with tempfile.TemporaryFile() as spool:
        spool.write(head)
        del head
        shutil.copyfileobj(stream, spool, 1024 * 1024)
        size = spool.tell()
        spool.seek(0)
        try:
            file = h5py.File(spool, "r")
        except H5_ERRORS as error:
            spool.seek(0)
            detail = _cut_off(spool.read(_SUPERBLOCK), size) or said(error)
            raise UnreadableObject("corrupt_hdf5", detail) from error
        with file:
            yield file.id


def _cut_off(head: bytes, size: int) -> str | None:
    """What to say of a file of fewer bytes than its superblock says; None for any other.

    Files behind a user block are not looked at. Where the number stands, by the superblock's
    version: https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html, section II.A.
    """
    if not head.startswith(_MAGIC) or len(head) < _SUPERBLOCK:
        return f"truncated: {size:,} bytes are no HDF5 file" if size < _SUPERBLOCK else None
    version = head[len(_MAGIC)]
    at = _END_OF_FILE.get(version)
    if at is None or head[13 if version <= 1 else 9] != _OFFSET_BYTES:
        return None
    whole = int.from_bytes(head[at : at + _OFFSET_BYTES], "little")
    return f"truncated: {size:,} bytes of {whole:,}" if size < whole else None


def _read_up_to(stream: BinaryIO, size: int) -> bytes:
    """Short reads of a network stream are joined."""
    parts = []
    while size > 0 and (data := stream.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def said(error: Exception) -> str:
    """What went wrong, shortly."""
    return str(error.args[0] if error.args else error)[:500]


def datasets(
    file: h5f.FileID, wanted: Mapping[bytes, frozenset[str]], limits: Limits
) -> dict[bytes, Dataset]:
    """Datasets by path, of those in ``wanted`` that are there, with the columns named there.

    Raises RefusedError for a file that leads out of itself or asks for too much, TypeError for a
    type that numpy has no like of, and H5_ERRORS.
    """
    links = _links(file, limits)
    found = {}
    for path, columns in wanted.items():
        dataset = _open(file, path, links)
        if dataset is not None:
            found[path] = _checked(dataset, path.decode(), columns, limits)
    return found


def _links(file: h5f.FileID, limits: Limits) -> dict[bytes, int]:
    """Every link in the file with its type; none may lead out of it."""
    found: dict[bytes, int] = {}

    def see(name: bytes, info: h5l.LinkInfo) -> str | None:
        found[name] = info.type
        if info.type not in {h5l.TYPE_HARD, h5l.TYPE_SOFT}:
            return "foreign"
        return "too many" if len(found) > limits.links else None

    root = h5g.open(file, b"/")  # its links do not keep it open
    stopped = root.links.visit(see, info=True)
    if stopped == "foreign":
        name = next(reversed(found)).decode(errors="backslashreplace")
        raise RefusedError("external_link", f"{name} leads out of the file"[:500])
    if stopped:
        raise RefusedError("not_a_song_file", f"more than {limits.links} links")
    return found


def _open(file: h5f.FileID, path: bytes, links: Mapping[bytes, int]) -> h5d.DatasetID | None:
    if path not in links and h5l.TYPE_SOFT not in links.values():
        return None
    try:
        found = h5o.open(file, path)
    except KeyError:
        if links.get(path) == h5l.TYPE_HARD:
            raise
        return None
    return found if isinstance(found, h5d.DatasetID) else None


def _checked(found: h5d.DatasetID, name: str, columns: frozenset[str], limits: Limits) -> Dataset:
    plan = found.get_create_plist()
    layout = plan.get_layout()
    if layout == h5d.VIRTUAL or plan.get_external_count():
        raise RefusedError("external_link", f"{name} is stored outside of the file")
    shape = found.shape
    if len(shape) != 1:
        raise RefusedError("not_a_song_file", f"{name} has {len(shape)} dimensions, expected 1")
    kind = found.get_type()
    size = kind.get_size()
    if size > limits.row_bytes:
        raise RefusedError("not_a_song_file", f"{name} has rows of {size} bytes")
    if layout == h5d.CHUNKED and plan.get_chunk()[0] * size > limits.chunk_bytes:
        raise RefusedError("not_a_song_file", f"{name} has chunks of {plan.get_chunk()[0]} rows")
    return Dataset(found, shape[0], *_memory_type(kind.encode(), columns))


@lru_cache(maxsize=64)
def _memory_type(encoded: bytes, columns: frozenset[str]) -> tuple[np.dtype[Any], h5t.TypeID]:
    """What rows become in memory, of a table only its ``columns``.

    Remembered, because it costs more than to read a row and all files have the same few types.
    """
    dtype = h5t.decode(encoded).dtype
    if dtype.names is not None:
        kept = [(name, dtype[name]) for name in dtype.names if name in columns]
        dtype = np.dtype(kept) if kept else np.dtype([(dtype.names[0], dtype[0])])
    return dtype, h5t.py_create(dtype)


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dimension of rows."""

    id: h5d.DatasetID
    rows: int
    dtype: np.dtype[Any]
    memory: h5t.TypeID

    def written(self) -> int:
        """How many rows there is storage for, at most: a declared row takes none."""
        plan = self.id.get_create_plist()
        if plan.get_layout() == h5d.CHUNKED:
            return min(self.rows, int(self.id.get_num_chunks() * plan.get_chunk()[0]))
        return self.rows if self.id.get_storage_size() else 0

    def read(self, first: int, after: int) -> np.ndarray[tuple[int], np.dtype[Any]]:
        """Rows ``first`` to ``after``. Raises H5_ERRORS."""
        count = after - first
        data = np.zeros(count, dtype=self.dtype)
        if count and count == self.rows:
            self.id.read(h5s.ALL, h5s.ALL, data, self.memory)
        elif count:
            space = self.id.get_space()
            space.select_hyperslab((first,), (count,))
            self.id.read(h5s.create_simple((count,)), space, data, self.memory)
        return data
