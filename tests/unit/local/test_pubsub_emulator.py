"""Finding Google's emulator: by variable, in an installed SDK, with a Java that runs it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from local import pubsub_emulator


@pytest.fixture
def java(monkeypatch: pytest.MonkeyPatch) -> None:
    _print_version(monkeypatch, 'openjdk version "17.0.15" 2025-04-15')


def _print_version(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    answer = SimpleNamespace(returncode=0, stdout="", stderr=text)
    monkeypatch.setattr("local.pubsub_emulator.subprocess.run", lambda *_, **__: answer)


def _no_sdk(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_JAR", raising=False)
    monkeypatch.setattr(pubsub_emulator, "_PLACES", ())
    monkeypatch.setattr("local.pubsub_emulator.shutil.which", lambda _: None)
    monkeypatch.setenv("HOME", str(home))


def test_by_variable(java: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    jar = tmp_path / "emulator.jar"
    monkeypatch.setenv("PUBSUB_EMULATOR_JAR", str(jar))
    assert pubsub_emulator.find_google_emulator() is None
    jar.touch()
    assert pubsub_emulator.find_google_emulator() == jar
    line = pubsub_emulator.command(jar, 123).argv
    assert line[0] == "java"
    assert line[-4:] == ["-jar", str(jar), "--host=127.0.0.1", "--port=123"]


def test_in_the_sdk_of_the_gcloud_on_the_path(
    java: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _no_sdk(monkeypatch, tmp_path)
    assert pubsub_emulator.find_google_emulator() is None
    sdk = tmp_path / "sdk"
    jar = sdk / "platform" / "pubsub-emulator" / "lib" / "cloud-pubsub-emulator-0.8.20-all.jar"
    jar.parent.mkdir(parents=True)
    jar.touch()
    (sdk / "bin").mkdir()
    (sdk / "bin" / "gcloud").touch()
    link = tmp_path / "gcloud"
    link.symlink_to(sdk / "bin" / "gcloud")
    monkeypatch.setattr("local.pubsub_emulator.shutil.which", lambda _: str(link))
    assert pubsub_emulator.find_google_emulator() == jar


@pytest.mark.parametrize("version", ['java version "11.0.2"', 'java version "1.8.0_402"', "what?"])
def test_an_older_java_does_not_run_it(
    version: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    jar = tmp_path / "emulator.jar"
    jar.touch()
    monkeypatch.setenv("PUBSUB_EMULATOR_JAR", str(jar))
    _print_version(monkeypatch, version)
    assert pubsub_emulator.find_google_emulator() is None
