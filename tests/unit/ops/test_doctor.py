"""The doctor's lines: who answers, what to do, and no secret in any of them."""

from __future__ import annotations

import threading
import time

import pytest

from assets.pipelines import defaults, required
from ops import doctor
from ops.doctor import SYSTEMS, System, diagnose

ENV = {
    "POSTGRES_URL": "postgresql://app:pg-s3cret@db:5432/quintet",
    "NEO4J_PASSWORD": "neo-s3cret",
    "MILVUS_TOKEN": "root:milvus-s3cret",
    "OPENAI_API_KEY": "sk-s3cret",
    "AWS_SECRET_ACCESS_KEY": "aws-s3cret",
    "MINIO_ACCESS_KEY": "minio-s3cret",
}


def refuse(message):
    def check(env):
        raise ConnectionError(message)

    return check


def test_a_healthy_system():
    healthy, line = diagnose(System((), lambda env: "model x", "nothing"), {})
    assert healthy
    assert line == "model x"


def test_an_error_names_its_class_and_the_remedy_on_one_line():
    system = System(("A",), refuse("no\n  route"), "check A")
    healthy, line = diagnose(system, {"A": "1"})
    assert not healthy
    assert line.endswith("ConnectionError: no route → check A")


def test_an_unset_variable_is_named_and_nothing_is_asked():
    system = System(("POSTGRES_URL", "MILVUS_TOKEN"), refuse("asked"), "…")
    healthy, line = diagnose(system, {"POSTGRES_URL": "", "MILVUS_TOKEN": ""})
    assert not healthy
    assert "POSTGRES_URL not set" in line
    assert "MILVUS_TOKEN" not in line, "a variable that may be empty"


@pytest.mark.parametrize("template", ["password {}", "at x://user:{}@host/db", "{} {}"])
def test_no_secret_is_printed(template):
    secrets = ["pg-s3cret", "neo-s3cret", "milvus-s3cret", "sk-s3cret", "aws-s3cret"]
    for secret in secrets:
        text = template.format(secret, secret)
        for check in (refuse(text), lambda env, text=text: text):
            _, line = diagnose(System((), check, "…"), ENV)
            assert secret not in line
            assert "***" in line


def test_a_system_that_hangs_does_not_hang_the_doctor(capsys):
    release = threading.Event()
    systems = {
        "slow": System((), lambda env: str(release.wait(30)), "restart it"),
        "fine": System((), lambda env: "here", "…"),
    }
    began = time.monotonic()
    code = doctor.run(systems, patience=0.5)
    release.set()
    assert time.monotonic() - began < 5
    lines = capsys.readouterr().out.splitlines()
    assert code == 1
    assert "✗ slow" in lines[0]
    assert "restart it" in lines[0]
    assert "busy: no answer in 0 s" in lines[0]
    assert lines[1] == "✓ fine  here"


def test_all_healthy_is_exit_code_0(capsys):
    assert doctor.run({"fine": System((), lambda env: "here", "…")}) == 0
    assert capsys.readouterr().out == "✓ fine  here\n"


def test_every_required_variable_belongs_to_a_system():
    asked = {variable for system in SYSTEMS.values() for variable in system.variables}
    assert set(required()) <= asked
    assert asked <= {*required(), *defaults(), "DAGSTER_POSTGRES_URL"}


def test_only_systems_of_the_chosen_pipelines_are_asked(capsys, monkeypatch):
    monkeypatch.setenv("QUINTET_PIPELINES", "music")
    asked = {
        "all": System((), lambda env: "here", "…"),
        "ours": System((), lambda env: "here", "…", ("music",)),
        "shared": System((), lambda env: "here", "…", ("campaigns", "music")),
        "theirs": System((), refuse("asked"), "…", ("campaigns",)),
    }
    assert doctor.run(asked) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == [
        "all", "ours", "shared",
    ]  # fmt: skip


def test_columns_line_up_whatever_the_lengths(capsys):
    systems = {
        name: System((), lambda env: "here", "…")
        for name in ("a", "a system of a long name", "interactions subscription")
    }
    assert doctor.run(systems) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.rindex("here") for line in lines} == {2 + len("interactions subscription") + 2}


def test_what_is_wrong_is_said_in_a_word_before_the_error():
    def busy(env):
        raise TimeoutError("no answer")

    _, line = diagnose(System((), refuse("[Errno 111] Connection refused"), "start it"), {})
    assert line == "unreachable: ConnectionError: [Errno 111] Connection refused → start it"
    _, line = diagnose(System((), busy, "check A"), {})
    assert line == "busy: TimeoutError: no answer → ask again in a minute; else check A"
