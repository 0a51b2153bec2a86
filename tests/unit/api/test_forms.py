"""Forms with files, in whatever pieces their bytes come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.forms import Begins, BrokenFormError, Ends, Form, NotAFormError

KIND = "multipart/form-data; boundary=XbX"


def form_of(files):
    parts = [
        b'--XbX\r\ncontent-disposition: form-data; name="f"; filename="%b"\r\n'
        b"Content-Type: text/plain\r\n\r\n%b\r\n" % (name, data)
        for name, data in files
    ]
    return b"".join([*parts, b"--XbX--\r\n"])


def read(pieces):
    """Names and bytes of the files that were whole."""
    form, found = Form(KIND), []
    name, data = None, b""
    for piece in pieces:
        for event in form.feed(piece):
            if isinstance(event, Begins):
                name, data = event.filename, b""
            elif isinstance(event, Ends):
                found.append((name, data))
            else:
                data += event
    form.require_end()
    return found


NAMES = st.text(alphabet="abc/. ä", min_size=1, max_size=9).map(str.encode)
# Pieces of a boundary that are none.
DATA = st.lists(st.sampled_from([b"\r\n", b"--Xb", b"X", b"-", b"\0", b"\r\n--X"]), max_size=9).map(
    b"".join
)


@given(
    st.lists(st.tuples(NAMES, DATA.filter(lambda data: b"--XbX" not in data)), max_size=4),
    st.lists(st.integers(min_value=1, max_value=40), max_size=60),
)
def test_files_are_the_same_in_whatever_pieces_they_come(files, cuts):
    body, pieces, at = form_of(files), [], 0
    for cut in cuts:
        pieces.append(body[at : at + cut])
        at += cut
    assert read([*pieces, body[at:]]) == files


@given(st.data())
def test_a_form_that_is_cut_off_says_so_and_gives_only_whole_files(data):
    files = [(b"a", b"one"), (b"b", b"two")]
    body = form_of(files)
    form, whole = Form(KIND), 0
    for event in form.feed(body[: data.draw(st.integers(0, len(body) - 5))]):
        whole += isinstance(event, Ends)
    assert whole <= len(files)
    with pytest.raises(BrokenFormError):
        form.require_end()


@given(st.binary(max_size=60))
def test_bytes_that_are_no_form_are_refused(body):
    with pytest.raises(BrokenFormError):
        read([body])


@pytest.mark.parametrize(
    "kind", ["", "application/json", "multipart/form-data", "multipart/mixed; boundary=x",
             "multipart/form-data; boundary=" + "x" * 5_000],
    ids=["none", "json", "no boundary", "mixed", "long boundary"],
)  # fmt: skip
def test_a_header_that_announces_no_form_is_refused(kind):
    with pytest.raises(NotAFormError):
        Form(kind)


@pytest.mark.parametrize("name", [b"C:\\x\\y", b"\\\\h\\y", b"\\\\\\\\h\\\\y"])
def test_a_windows_path_is_not_shortened_to_another_file_s_name(name):
    (found,) = read([form_of([(name, b"x")])])
    assert b"\\" in found[0]
