"""An OpenAI-compatible API and a Telegram endpoint that records: ``local/openai_server.py``."""

from __future__ import annotations

from local.service import HOST, REPOSITORY, Command, Place, Service, answers_http

#: The name says what computes the vectors; `local.embedder` is where.
EMBEDDING_MODEL = "local-wordllama256-ngrams"


def _command(place: Place) -> Command:
    return Command(
        [
            str(place.python),
            "-P",
            "-m",
            "local.openai_server",
            str(place.ports["openai"]),
            str(place.package("wordllama")),
        ],
        environment={
            "OPENAI_SERVER_KEY": place.secret("openai"),
            "PYTHONPATH": str(REPOSITORY),
            # One thread each: many calls at once must not make many threads each.
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        },
        directory=place.root,
    )


def _ready(place: Place) -> bool:
    return answers_http(f"http://{HOST}:{place.ports['openai']}/health", contains="ok")


def _variables(place: Place) -> dict[str, str]:
    return {
        "OPENAI_BASE_URL": f"http://{HOST}:{place.ports['openai']}/v1",
        "OPENAI_API_KEY": place.secret("openai"),
        "OPENAI_EMBEDDING_MODEL": EMBEDDING_MODEL,
        # The key is the bot's token, too: one account of the server has both.
        "TELEGRAM_URL": f"http://{HOST}:{place.ports['openai']}",
        "TELEGRAM_BOT_TOKEN": place.secret("openai"),
        "TELEGRAM_CHAT_ID": "1",
        "ALERT_WEBHOOK_URL": f"http://{HOST}:{place.ports['openai']}/webhook",
        "ALERT_WEBHOOK_TOKEN": place.secret("openai"),
    }


SERVICE = Service(
    name="openai",
    systems=("OpenAI", "Telegram", "webhook"),
    ports=("openai",),
    command=_command,
    ready=_ready,
    variables=_variables,
)
