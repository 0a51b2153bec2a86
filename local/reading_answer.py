"""One user's category shares in words, as the demo prints them.

Belongs here: the text. Does not: the question (``assets/reading/answers.py``).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from datetime import date

from assets.reading.answers import READ_BEYOND, CategoryShares, category_shares
from resources.bigquery import BigQueryResource


def lines(env: Mapping[str, str], user_id: int, query_date: date) -> list[str]:
    """What was asked, then a line per category, largest share first; a line when there is none.

    ``env`` holds the variables of BigQuery and READING_DATASET. Raises like
    ``assets.reading.answers.category_shares``.
    """
    bigquery = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=env.get("BIGQUERY_API_ENDPOINT", "")
    )
    with bigquery.client() as client:
        return told(category_shares(client, env["READING_DATASET"], user_id, query_date))


def told(found: CategoryShares) -> list[str]:
    """As :func:`lines`, of an answer."""
    asked = f"user {found.user_id} on {found.last} (events of {found.first} to {found.last}):"
    width = max((len(one.category) for one in found.categories), default=0)
    shown = [
        f"  {one.category:<{width}} {one.share:6.1%} ({one.events} of {found.events})"
        for one in found.categories
    ]
    return [asked, *(shown or [f"  nothing read beyond {READ_BEYOND} percent"])]


def main(arguments: Sequence[str] | None = None) -> None:
    """``python -m local.reading_answer USER DATE``, with the variables of the environment."""
    parser = argparse.ArgumentParser(prog="python -m local.reading_answer")
    parser.add_argument("user_id", type=int)
    parser.add_argument("query_date", type=date.fromisoformat)
    chosen = parser.parse_args(arguments)
    print("\n".join(lines(os.environ, chosen.user_id, chosen.query_date)))


if __name__ == "__main__":
    main()
