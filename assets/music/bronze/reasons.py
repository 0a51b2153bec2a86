"""Why files and rows of music are rejected.

Belongs here: the reasons with their texts. Does not: the rules (``fields.py`` for values, the
modules of ``formats`` for the rest).
"""

from __future__ import annotations

from landing.batch.reasons import CORRECT_FILE, RejectReason

TAKEN_DOWN = RejectReason(
    "taken_down",
    "a file that an operator took down, put again",
    "none; or end that with `UNDO=1` (see Taking down), then put it again",
)
FILE_REASONS = (
    TAKEN_DOWN,
    RejectReason("unknown_format", "none of the formats, or JSON without a song", CORRECT_FILE),
    RejectReason("bad_json", "broken JSON: the file, or an entry of it", CORRECT_FILE),
    RejectReason("corrupt_hdf5", "broken HDF5: the file, or rows of it", CORRECT_FILE),
    RejectReason("not_a_song_file", "HDF5 without songs, or larger than allowed", CORRECT_FILE),
    RejectReason("external_link", "HDF5 that points outside of itself", CORRECT_FILE),
)
VALUE_REASONS = (
    RejectReason("no_identity", "neither song id nor track id nor title"),
    RejectReason("bad_id", "an id that is not 1 to 100 printable ASCII characters"),
    RejectReason("bad_number", "no finite number, or a fraction where a whole one is asked for"),
    RejectReason("bad_text", "a number, list or object where a text is asked for"),
    RejectReason("out_of_range", "a value beyond what its column allows"),
    RejectReason("too_long", "a text above its column's limit"),
)
FORMAT_REASONS = (
    RejectReason("unknown_entry", "an entry of JSON that is no song and no lyrics"),
    RejectReason("bad_lyrics", "verses or a chorus that are no lists of lines"),
    RejectReason("bad_line", "a line without the ids or the fields of its format"),
    RejectReason("bad_word", "a word of musiXmatch that is no known index with a count"),
    RejectReason("line_too_long", "a line above what is looked into"),
    RejectReason("bad_offsets", "a song of HDF5 whose part of a list lies outside of the list"),
)
