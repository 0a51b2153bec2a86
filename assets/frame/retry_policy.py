"""How often a step is tried again, and after which pause.

Belongs here: the policy that every step has. Does not: which errors are worth another attempt
(``resources/retryable.py``, ``landing/batch/failures.py``), a batch's own attempts
(``landing/arrival/ledger.py``).
"""

from __future__ import annotations

import dagster as dg

#: For transient failures only: permanent ones end the step at once. Seconds.
RETRY = dg.RetryPolicy(
    max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
