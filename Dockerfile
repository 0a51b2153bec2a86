# One image for quintet's code server, run server, webserver, daemon and migrations; the command chooses.
FROM python:3.11.13-slim-bookworm AS build

COPY --from=ghcr.io/astral-sh/uv:0.9.11 /uv /usr/local/bin/uv
ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /app
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-dev --no-install-project

FROM python:3.11.13-slim-bookworm

RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/quintet quintet
COPY --from=build /opt/venv /opt/venv
WORKDIR /app
COPY --chown=root:root . /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    DAGSTER_HOME=/var/lib/quintet
RUN ln -s /app/dagster.yaml /var/lib/quintet/dagster.yaml \
    && mkdir -m 700 /var/lib/quintet/run_server \
    && chown -h quintet:quintet /var/lib/quintet/dagster.yaml /var/lib/quintet/run_server
USER 10001
EXPOSE 3000 4000
CMD ["dagster", "code-server", "start", "-h", "0.0.0.0", "-p", "4000", "-m", "definitions"]
