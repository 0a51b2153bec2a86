"""What a run that ended is told as: its title, and what of its events people want to know.

Belongs here: from a run's records to an alert. Does not: sensors (``alerts.py``), Telegram's HTML
(``assets.frame.alert_text``). Never a secret, never an exact figure of the data.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import dagster as dg

from assets.frame.alert_channels import Alert
from assets.frame.alert_text import escaped, shortened

Ending = Literal["success", "failure", "canceled"]

LONGEST_ERROR = 300

#: A figure of four digits or more, or with a fraction; not a date, nor a part of a word.
_FIGURE = re.compile(r"(?<![\w.\-])\d[\d,]*(?:\.\d+)?(?![\w\-])")
_SHORT_FIGURE = 3
_RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")


@dataclass(frozen=True, slots=True)
class Told:
    """A figure of a result's metadata, and the words before it; ``money`` is in dollars."""

    key: str
    words: str
    money: bool = False


@dataclass(frozen=True, slots=True)
class AlertedRuns:
    """Runs that people want to hear of: of the pipeline's job, or of its assets by hand.

    A success is told by what ``result`` reports; a run without it is none that anybody waits for.
    """

    pipeline: str
    endings: frozenset[Ending]
    result: dg.AssetKey
    told: tuple[Told, ...] = ()

    def concerns(self, run: dg.DagsterRun) -> bool:
        """Whether it is such a run."""
        if run.job_name == self.pipeline:
            return True
        return run.job_name == "__ASSET_JOB" and any(
            key.path[0] == self.pipeline for key in run.asset_selection or ()
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a run: the step (empty for the run as a whole), the error's class and text."""

    step: str
    error: str
    text: str


def success(
    runs: AlertedRuns, run: dg.DagsterRun, results: Sequence[Mapping[str, Any]], link: str
) -> Alert | None:
    """What a run has published, by the metadata of each result; None when it published nothing."""
    if not results:
        return None
    lines = [_figures(runs.told, result) for result in results]
    return Alert(
        dedupe_key=_key(run),
        title=f"{_subject(runs, run)} published",
        body_html="\n\n".join("\n".join(one) for one in lines),
        link=link,
    )


def failure(
    runs: AlertedRuns,
    run: dg.DagsterRun,
    failures: Sequence[Failure],
    link: str,
    safe: Callable[[str], str],
) -> Alert:
    """What ended a run; ``safe`` takes secrets out of a text."""
    lines = [_failure_line(one, safe) for one in failures]
    return Alert(
        dedupe_key=_key(run),
        title=f"{_subject(runs, run)} failed",
        body_html="\n".join(lines),
        severity="error",
        link=link,
    )


def canceled(runs: AlertedRuns, run: dg.DagsterRun, link: str) -> Alert:
    """A run that somebody stopped."""
    title = f"{_subject(runs, run)} was cancelled"
    return Alert(dedupe_key=_key(run), title=title, severity="warning", link=link)


def failure_of(step_key: str | None, error: Any) -> Failure:
    """Of a step's error as Dagster keeps it: what Dagster wraps around it is left out.

    Not so what we wrap around a library's error: that says what to do.
    """
    while error.cause is not None and _is_dagster_s(str(error.cls_name)):
        error = error.cause
    name = str(error.cls_name or "Error")
    lines = str(error.message).strip().splitlines()
    text = re.sub(rf"^[\w.]*{re.escape(name)}:?\s*", "", lines[0]) if lines else ""
    return Failure((step_key or "").replace("__", "/"), name, text)


def _is_dagster_s(name: str) -> bool:
    return name == "Failure" or name.startswith(("Dagster", "RetryRequested"))


def without_figures(text: str) -> str:
    """The text with "…" for every figure that could be one of the data."""

    def blurred(found: re.Match[str]) -> str:
        digits = found[0].replace(",", "")
        return found[0] if len(digits) <= _SHORT_FIGURE and digits.isdigit() else "…"

    return _FIGURE.sub(blurred, text)


def _failure_line(one: Failure, safe: Callable[[str], str]) -> str:
    # Secrets first: a half of one would be no longer known.
    text = shortened(without_figures(safe(one.text)), LONGEST_ERROR)
    said = f"<code>{escaped(f'{one.error}: {text}' if text else one.error)}</code>"
    return f"{escaped(one.step)}: {said}" if one.step else said


def _figures(told: Sequence[Told], result: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in told:
        value = result.get(one.key)
        if value is None:
            continue
        if isinstance(value, int | float) and not isinstance(value, bool):
            shown = f"${value:,.2f}" if one.money else f"{value:,}"
        else:
            shown = str(value)
        lines.append(f"{escaped(one.words)}: {escaped(shown)}")
    return lines


def _key(run: dg.DagsterRun) -> str:
    return f"run/{run.run_id}"


def _subject(runs: AlertedRuns, run: dg.DagsterRun) -> str:
    """The pipeline and the partition, or the partitions' range."""
    ends = [run.tags[tag] for tag in _RANGE_TAGS if tag in run.tags]
    partition = run.tags.get("dagster/partition") or "–".join(dict.fromkeys(ends))
    return f"{runs.pipeline} {partition}".strip()
