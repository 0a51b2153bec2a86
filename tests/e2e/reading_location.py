"""A code location with the streaming session and what keeps it alive, and nothing else.

Belongs here: wiring for one test; a history or an answer would start runs of its own.
"""

from __future__ import annotations

import dagster as dg

from assets.pipelines import apply_defaults
from assets.reading import sources
from assets.reading.session import assets as session
from assets.reading.session import checks as session_checks
from assets.reading.session.job import reading_stream_job
from assets.reading.settings import ReadingSettings
from jobs.executor import guarded_executor
from resources.configured import build_resources
from sensors.session import reading_session_sensor

apply_defaults()

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([session, sources], include_specs=True),
    asset_checks=dg.load_asset_checks_from_modules([session_checks]),
    jobs=[reading_stream_job],
    sensors=[reading_session_sensor],
    executor=guarded_executor,
    resources={**build_resources(), "reading": ReadingSettings.from_variables()},
)
