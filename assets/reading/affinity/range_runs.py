"""An automation sensor that asks for runs over ranges of partitions, not for backfills.

Belongs here: how what is asked for becomes runs. Does not: the conditions (``automation.py``), what
they are evaluated for and how often (``job.py``).

Dagster's own asks for a backfill where an asset wants several partitions; its daemon looks at those
every 30 seconds, and no setting changes that. The runs are the same: the backfill's own function
makes them.
"""

import warnings
from collections.abc import Sequence

import dagster as dg

# Known to be beta; the version is pinned, and tests hold what is used of it.
warnings.filterwarnings(
    "ignore", message="Parameter `use_user_code_server`", category=dg.BetaWarning
)


class RangeRunsSensor(dg.AutomationConditionSensorDefinition):
    """Asks for a run per range of partitions of each asset, at once.

    It is evaluated in the code location, where the requests are at hand. They are kept with the
    tick before the first is submitted: a daemon that dies in between submits the rest, once.
    """

    def validate_backfill_requests(
        self, run_requests: Sequence[dg.RunRequest], context: dg.SensorEvaluationContext
    ) -> Sequence[dg.RunRequest]:
        """The runs that the backfills asked for would be made of, as the sensor's own requests."""
        from dagster._core.definitions.automation_tick_evaluation_context import (
            build_run_requests_with_backfill_policies,
        )

        repository = context.repository_def
        if repository is None:
            raise dg.DagsterInvariantViolationError("a range of partitions needs its repository")
        ranges = [
            run.with_replaced_attrs(tags={**run.tags, **request.tags})
            for request in run_requests
            if request.asset_graph_subset is not None
            for run in build_run_requests_with_backfill_policies(
                list(request.asset_graph_subset.iterate_asset_partitions()),
                repository.asset_graph,
                context.instance,
            )
        ]
        return self.resolve_run_requests(ranges, context, self.asset_selection, [])
