"""What a Pub/Sub server says it was given and still holds.

Belongs here: asking it. Does not: Pub/Sub itself (``resources.pubsub``), what the numbers ought to
be. Google's own service has these figures in Cloud Monitoring only, sampled once a minute: they
balance nothing to the message, so that there they count as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dagster as dg

_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class BrokerCounts:
    """Messages published per topic, and not yet acknowledged per subscription, by full names."""

    published: dict[str, int]
    unacknowledged: dict[str, int]


class PubSubCountsResource(dg.ConfigurableResource[Any]):
    """A page of counts as ``local/pubsub/admin.py`` has it. Empty ``url``: there is none."""

    url: str = ""

    def read(self) -> BrokerCounts | None:
        """The counts of now; None when nobody tells them.

        Raises OSError when the page does not answer, ValueError when it is no such page.
        """
        if not self.url:
            return None
        import json
        import urllib.request

        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"PUBSUB_COUNTS_URL is no web address: {self.url}")
        with urllib.request.urlopen(self.url, timeout=_TIMEOUT) as answer:  # noqa: S310
            text = answer.read()
        try:
            page = json.loads(text)
            return BrokerCounts(
                {name: int(one["published"]) for name, one in page["topics"].items()},
                {
                    name: int(one["num_undelivered_messages"])
                    for name, one in page["subscriptions"].items()
                },
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{self.url} is no page of counts: {error!r}") from error
