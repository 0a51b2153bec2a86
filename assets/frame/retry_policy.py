"""How often a step is tried again, and after which pause.

Belongs here: the policy that every step has. Does not: which errors are worth another attempt
(``resources/retryable.py``, ``landing/batch/failures.py``), a batch's own attempts
(``landing/arrival/ledger.py``).
"""

from __future__ import annotations

import sys

import dagster as dg
from dagster._core.errors import DagsterExecutionInterruptedError


class RetryUnlessInterrupted(dg.RetryPolicy):
    """For steps that end when they are told to.

    Dagster tries an interrupted step again in the same process, as if it had failed: a cancelled
    run went on, a run that had lost its locks wrote on, and what the interrupt hit in the middle of
    its import stayed half imported.
    """

    def calculate_delay(self, attempt_num: int) -> float:
        """Seconds; raises the interrupt again where one is being handled."""
        error = sys.exc_info()[1]
        if isinstance(error, DagsterExecutionInterruptedError | KeyboardInterrupt):
            raise error
        return float(super().calculate_delay(attempt_num))


#: For transient failures only: permanent ones end the step at once. Seconds.
RETRY = RetryUnlessInterrupted(
    max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
