"""Every question of docs/api.md, asked by curl as it stands there, of a service that runs."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
import urllib.request

import pytest

from local.service import REPOSITORY
from migrations.upgrade import upgrade
from ops import api_key
from tests import processes
from tests.integration.api.filled import SERVERS, load
from tests.rabbitmq import free_port

pytestmark = pytest.mark.servers(*SERVERS)


def questions() -> list[str]:
    text = (REPOSITORY / "docs" / "api.md").read_text("utf-8")
    blocks = re.findall(r"^```curl\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_every_question_is_answered(env, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("QUINTET_MCP", "on")
    upgrade(env["POSTGRES_URL"])
    load(env)
    assert api_key.run("me", ["read", "write"], per_minute=600, revoke=None) == 0
    key = capsys.readouterr().out.split()[0]
    for name in ("one.json", "two.json"):
        (tmp_path / name).write_text("[]")
    port = free_port()
    asking = {**os.environ, "API": f"http://127.0.0.1:{port}", "KEY": key}
    log = tmp_path / "api.log"
    with log.open("wb") as output:
        service = processes.start(
            [sys.executable, "-m", "api", "--port", str(port)],
            cwd=tmp_path, stdout=output, stderr=processes.STDOUT,
            env={**os.environ, "QUINTET_PIPELINES": ""},
        )  # fmt: skip
        try:
            wait_for(asking["API"], service, log)
            assert len(questions()) >= 17
            for question in questions():
                said = processes.output_of(["bash", "-c", question], env=asking, cwd=tmp_path)
                if "--output" in question:
                    assert (tmp_path / question.split()[-1]).stat().st_size > 0, question
                elif "quintet_key" in question or question.endswith('/docs"'):
                    assert said.startswith("<!doctype html>"), question
                elif question.endswith('/content"'):
                    assert said == "[]", question
                elif "format=" in question:
                    assert "complete" in said.splitlines()[-1], question
                else:
                    assert "/metrics" in question or last_of(said) is not None, question
        finally:
            service.terminate()
            # Requests in progress end first, then it dies of the signal, as a shell expects.
            assert service.wait(60) in {0, -signal.SIGTERM}


def last_of(said: str):
    """The answer; before it is what curl was told while it was to ask again."""
    found, at = None, 0
    while at < len(said.rstrip()):
        found, at = json.JSONDecoder().raw_decode(said, at)
    return found


def wait_for(address: str, service, log) -> None:
    late = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{address}/v1/health/live", timeout=5).close()
        except OSError:
            assert service.poll() is None, log.read_text()
            assert time.monotonic() < late, log.read_text()
            time.sleep(0.1)
        else:
            return
