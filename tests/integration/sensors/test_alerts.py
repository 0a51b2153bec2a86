"""From runs that ended to messages at Telegram's stand-in, through the sensors themselves."""

import json
from typing import Any

import dagster as dg
import psycopg
import pytest

from resources.postgres import PostgresResource
from resources.telegram import TelegramResource
from resources.user_interface import UserInterfaceResource
from resources.webhook import WebhookResource
from sensors.alerts import alert_delivery, run_alerts
from sensors.run_story import AlertedRuns, Told

pytestmark = pytest.mark.servers("postgres", "openai")

KEY = dg.AssetKey(["shop", "published"])
ENDS = {
    "success": dg.DagsterEventType.RUN_SUCCESS,
    "failure": dg.DagsterEventType.RUN_FAILURE,
    "canceled": dg.DagsterEventType.RUN_CANCELED,
}
SHOP = AlertedRuns(
    pipeline="shop",
    endings=frozenset({"success", "failure", "canceled"}),
    result=KEY,
    told=(Told("published", "published"), Told("cost_dollars", "cost", money=True)),
)
SENSORS = {sensor.name: sensor for sensor in run_alerts(["shop"], [SHOP])}


class Config(dg.Config):
    error: str = ""


@dg.asset(key=KEY, partitions_def=dg.StaticPartitionsDefinition(["2025-03"]))
def published(config: Config) -> dg.MaterializeResult[Any]:
    if config.error:
        raise ValueError(config.error)
    return dg.MaterializeResult(metadata={"published": 1170, "cost_dollars": 0.5})


@dg.asset(key=["shop", "other"])
def other() -> None:
    """Nothing that anybody waits for."""


DEFS = dg.Definitions(
    assets=[published, other],
    jobs=[
        dg.define_asset_job("shop", selection=[published]),
        dg.define_asset_job("other", selection=[other]),
    ],
    executor=dg.in_process_executor,
)


@pytest.fixture
def instance(env):
    with dg.DagsterInstance.get() as opened:
        yield opened


@pytest.fixture
def resources(env):
    return {
        "postgres": PostgresResource(url=env["POSTGRES_URL"]),
        "ui": UserInterfaceResource(url="http://ui.example/"),
        "telegram": TelegramResource(),
        "webhook": WebhookResource(),
    }


@pytest.fixture
def telegram(env):
    return TelegramResource(
        url=env["TELEGRAM_URL"], bot_token=env["TELEGRAM_BOT_TOKEN"], chat_id="5"
    )


def execute(instance, job="shop", error=""):
    config = {"ops": {"shop__published": {"config": {"error": error}}}} if job == "shop" else None
    return DEFS.resolve_job_def(job).execute_in_process(
        instance=instance,
        partition_key="2025-03" if job == "shop" else None,
        run_config=config,
        raise_on_error=False,
    )


def tell(instance, resources, run_id, ending):
    """What the sensor says at its first tick after the run has ended."""
    (record,) = instance.get_records_for_run(run_id, of_type=ENDS[ending]).records
    with dg.build_sensor_context(
        instance=instance, cursor=str(record.storage_id - 1), resources=resources
    ) as context:
        said = SENSORS[f"run_{ending}_alert"](context).skip_message
        assert int(context.cursor or 0) >= record.storage_id
        return said


def send(instance, resources, telegram):
    given = {
        "postgres": resources["postgres"],
        "telegram": telegram,
        "webhook": WebhookResource(),
    }
    with dg.build_sensor_context(instance=instance, resources=given) as context:
        return alert_delivery(context).skip_message


def test_a_success_is_told_once_however_often_the_sensor_sees_it(
    instance, resources, telegram, openai_admin
):
    run_id = execute(instance).run_id
    assert tell(instance, resources, run_id, "success") == "shop 2025-03 published: in the outbox"
    assert "told before" in tell(instance, resources, run_id, "success")
    assert send(instance, resources, telegram) == "telegram: 1 sent, 0 waiting, 0 given up"
    assert "told before" in tell(instance, resources, run_id, "success")
    assert send(instance, resources, telegram) == "telegram: 0 sent, 0 waiting, 0 given up"
    [message] = openai_admin.messages()
    assert message["text"] == (
        "✅ <b>shop 2025-03 published</b>\npublished: 1,170\ncost: $0.50\n"
        f'<a href="http://ui.example/runs/{run_id}">Show the run</a>'
    )


def test_a_failure_tells_the_first_line_without_secrets_and_figures(
    instance, resources, telegram, openai_admin, env
):
    error = f"<refused> for {env['OPENAI_API_KEY']}, revenue 1234567.89\nsecond line"
    run_id = execute(instance, error=error).run_id
    tell(instance, resources, run_id, "failure")
    send(instance, resources, telegram)
    [message] = openai_admin.messages()
    assert message["text"].splitlines()[:2] == [
        "❌ <b>shop 2025-03 failed</b>",
        "shop/published: <code>ValueError: &lt;refused&gt; for ***, revenue …</code>",
    ]
    assert f"http://ui.example/runs/{run_id}" in message["text"]


def test_a_run_that_was_cancelled_and_one_whose_process_died(
    instance, resources, telegram, openai_admin
):
    for report, ending in (
        (instance.report_run_canceled, "canceled"),
        (instance.report_run_failed, "failure"),
    ):
        run = instance.create_run_for_job(
            DEFS.resolve_job_def("shop"), tags={"dagster/partition": "2025-03"}
        )
        report(run)
        tell(instance, resources, run.run_id, ending)
    send(instance, resources, telegram)
    stopped, died = openai_admin.messages()
    assert "⚠️ <b>shop 2025-03 was cancelled</b>" in stopped["text"]
    assert "<code>RunFailed: " in died["text"]


def test_other_runs_are_not_told_of(instance, resources):
    run_id = execute(instance, job="other").run_id
    assert "Nobody waits" in tell(instance, resources, run_id, "success")


def test_without_telegram_alerts_wait(instance, resources, telegram, openai_admin):
    run_id = execute(instance).run_id
    tell(instance, resources, run_id, "success")
    said = send(instance, resources, TelegramResource())
    assert said.startswith("1 waiting; no channel is configured")
    assert send(instance, resources, telegram).startswith("telegram: 1 sent")


def test_telegram_away_fails_no_tick(instance, resources, env, openai_admin):
    run_id = execute(instance).run_id
    tell(instance, resources, run_id, "success")
    away = TelegramResource(url="http://127.0.0.1:9", bot_token="1:x", chat_id="5")
    assert "0 sent, 1 waiting, 0 given up; held until" in send(instance, resources, away)
    with psycopg.connect(env["POSTGRES_URL"]) as conn:
        [(error,)] = conn.execute("SELECT error FROM alerts.outbox").fetchall()
    assert error.startswith("ConnectError")


def test_runs_of_before_the_first_tick_are_passed_over_and_then_none_is_however_many(
    instance, resources
):
    """One tick tells of all: one that told of a single run would fall behind where many end."""
    sensor = SENSORS["run_success_alert"]
    execute(instance, "other")
    with dg.build_sensor_context(instance=instance, resources=resources) as context:
        sensor(context)
        cursor = context.cursor
    for job in ("shop", "other", "shop"):
        execute(instance, job)
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
        said = sensor(context).skip_message
        after = context.cursor
    assert said is not None
    assert said.count("in the outbox") == 2
    old = json.dumps({"__class__": "RunStatusSensorCursor", "record_id": int(after or 0)})
    with dg.build_sensor_context(instance=instance, cursor=old, resources=resources) as context:
        assert "Nobody waits" in str(sensor(context).skip_message)
