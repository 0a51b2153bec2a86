"""The variables that lead to outside systems, and their defaults.

Belongs here: names and defaults. Does not: a pipeline's own variables (its ``settings.py``), what a
variable is used for (the resource that takes it), and secrets or addresses, which have no default:
an unset one is an error that names it, at first use. ``.env.example`` lists all variables and is
checked against the code.
"""

from __future__ import annotations

#: Dagster's own; its processes read them when they start. An automation tick that did not wait a
#: little could pass over an event whose transaction commits late, and nothing would ask for what
#: has changed. On a busy machine a code server needed more than Dagster's 60 s to start a run: the
#: daemon reported "Failed to start" while it did. The longer limit is for that, not for ticks, nor
#: for the calls that a server waits for when it is stopped. Ticks that wait for files take a thread
#: of the code server each, of which there are four more than cores by default.
DAGSTER_VARIABLES: dict[str, str] = {
    "DAGSTER_AUTOMATION_TICK_SETTLE_SECONDS": "1",
    "DAGSTER_GRPC_TIMEOUT_SECONDS": "240",
    "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS": "60",
    "DAGSTER_SCHEDULE_GRPC_TIMEOUT_SECONDS": "60",
    "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "60",
    "DAGSTER_GRPC_MAX_WORKERS": "32",
    "DAGSTER_CODE_SERVER_MAX_WORKERS": "32",
}

#: Names, models and optional addresses. A variable that is set always wins.
DEFAULTS: dict[str, str] = {
    **DAGSTER_VARIABLES,
    "QUINTET_SOURCE_URL": "",
    "AWS_ENDPOINT_URL_S3": "",
    "AWS_REGION": "us-east-1",
    "QUINTET_UI_URL": "http://127.0.0.1:3000",
    "QUINTET_MCP": "off",
    "NEO4J_DATABASE": "neo4j",
    "MILVUS_TOKEN": "",
    "MILVUS_INDEX": "auto",
    "BIGQUERY_API_ENDPOINT": "",
    "BIGQUERY_GRPC_ENDPOINT": "",
    "PUBSUB_EMULATOR_HOST": "",
    "PUBSUB_COUNTS_URL": "",
    "OPENAI_BASE_URL": "https://api.openai.com/v1",
    "OPENAI_EMBEDDING_MODEL": "text-embedding-3-small",
    "OPENAI_ORGANIZATION": "",
    "OPENAI_CONCURRENCY": "200",
    "OPENAI_REQUESTS_PER_MINUTE": "0",
    "OPENAI_TOKENS_PER_MINUTE": "0",
    "TELEGRAM_URL": "https://api.telegram.org",
    "TELEGRAM_BOT_TOKEN": "",
    "TELEGRAM_CHAT_ID": "",
    "ALERT_WEBHOOK_URL": "",
    "ALERT_WEBHOOK_TOKEN": "",
    "COMPUTE_LOGS_BUCKET": "",
    "IMAGES_CLASSIFIER_URL": "",
    "MUSIC_LYRICS_URL": "",
    "MUSIC_LYRICS_AGAIN_AFTER_DAYS": "180",
    "MUSIC_MUSICBRAINZ_URL": "",
    "MUSIC_MUSICBRAINZ_USER_AGENT": "",
    "MUSIC_MUSICBRAINZ_PER_SECOND": "1",
    "READING_DATAFLOW_REGION": "us-central1",
    "READING_DATAFLOW_TEMP": "",
    "READING_DATAFLOW_ENDPOINT": "",
    "IMAGES_BROKER_URL": "",
}
