"""What people may do about a problem: the API's own word is about requests, this one about pages.

Belongs here: a sentence and a link by code. Does not: what is wrong (``api/problems.py``).
"""

from __future__ import annotations

from api.problems import Problem

#: Where to look for what there is, by code: a sentence and a page.
_BY_CODE = {
    "unknown_user": ("Ask for a user that a loaded file names.", "/campaigns"),
    "unknown_song": ("Search for the song.", "/music"),
    "unknown_listener": ("Ask for a listener that a loaded file of plays names.", "/music"),
    "unknown_domain": ("Ask without a month, or for another domain.", "/domains"),
    "unknown_task": ("Look at the latest tasks.", "/images"),
    "nothing_loaded": ("See what waits to be loaded.", "/sources"),
    "no_vector": ("Ask again once a message of the user is loaded.", None),
    "nothing_to_compare": ("The other lists of this page may have some.", None),
    "not_found": ("Begin at the first page.", "/"),
    "foreign_form": ("Open the page here, and send its form again.", "/"),
    "invalid_request": ("Go back, and correct what is named here.", None),
}


def further(problem: Problem) -> tuple[str, str | None]:
    """What people may do next, and on which page."""
    return _BY_CODE.get(problem.code, (problem.next, None))
