"""Which errors of a step Dagster tries again in the same run."""

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from assets.frame.retry_policy import RETRY


def attempts(error: BaseException) -> tuple[int, dg.ExecuteInProcessResult | None]:
    """How often a step begins that raises the error each time."""
    begun: list[int] = []

    # Without the pauses between them.
    @dg.asset(retry_policy=RETRY._replace(delay=0, jitter=None))
    def step() -> None:
        begun.append(1)
        raise error

    with dg.DagsterInstance.ephemeral() as instance:
        try:
            result = dg.materialize([step], instance=instance, raise_on_error=False)
        except type(error):
            return len(begun), None
    return len(begun), result


def test_a_failure_is_tried_again_twice():
    begun, result = attempts(OSError("away"))
    assert begun == 3
    assert result
    assert not result.success


@pytest.mark.parametrize("interrupt", [DagsterExecutionInterruptedError, KeyboardInterrupt])
def test_an_interrupted_step_is_not_tried_again_in_the_same_process(interrupt):
    """Dagster's own policy begins it three times."""
    assert attempts(interrupt())[0] == 1
