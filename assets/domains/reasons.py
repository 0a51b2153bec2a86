"""Why a summary is rejected.

Belongs here: the reasons with their texts. Does not: the rules (``review.py``), what the model is
told before it tries once more.
"""

from __future__ import annotations

from landing.batch.reasons import RejectReason

FEWEST_WORDS, MOST_WORDS = 60, 140

_ANEW = "change the template or the model: a prompt that differs is asked anew"

#: Of a text that was judged.
TEXT_REASONS = (
    RejectReason("several_lines", "more than one line", _ANEW),
    RejectReason("word_count", f"not {FEWEST_WORDS} to {MOST_WORDS} words", _ANEW),
    RejectReason("bullets", "a list with bullet points", _ANEW),
    RejectReason("markup", "markup such as HTML or Markdown", _ANEW),
    RejectReason("web_address", "a web address", _ANEW),
    RejectReason("email_address", "an e-mail address", _ANEW),
    RejectReason("domain_missing", "does not name the domain", _ANEW),
    RejectReason("another_domain", "names another domain", _ANEW),
    RejectReason("category_missing", "does not name the category", _ANEW),
    RejectReason("category_invented", "speaks of a category although none is known", _ANEW),
    RejectReason("foreign_number", "has a number that the prompt does not have", _ANEW),
)
#: All, with those of an answer that is no text to judge.
SUMMARY_REASONS = (
    *TEXT_REASONS,
    RejectReason("refused", "the model declined; its words are kept", _ANEW),
    RejectReason("truncated", "the answer was cut off twice", _ANEW),
    RejectReason("filtered", "a content filter of the service held it back", _ANEW),
)
