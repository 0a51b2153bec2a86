"""What every declared server must keep to."""

from __future__ import annotations

import dataclasses
import re
import stat
from pathlib import Path

import pytest

from local import bigquery_server, milvus_server
from local.service import Place, Service, StackError
from local.services import SERVICES, postgres
from local.stack import Stack, servers_python
from tests.servers import VARIABLES


@pytest.fixture
def place(tmp_path: Path) -> Place:
    names = [port for service in SERVICES.values() for port in service.ports]
    return Place(tmp_path, servers_python(), {name: 20_000 + i for i, name in enumerate(names)})


def test_names_and_ports_are_distinct() -> None:
    ports = [port for service in SERVICES.values() for port in service.ports]
    assert len(ports) == len(set(ports))
    assert all(name == service.name for name, service in SERVICES.items())
    assert all(service.systems and service.ports and service.hint for service in SERVICES.values())


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)
def test_variables_are_known_and_point_to_this_machine(service: Service, place: Place) -> None:
    variables = service.variables(place)
    assert set(variables) <= set(VARIABLES)
    for value in variables.values():
        if "://" in value or re.search(r":\d+$", value):
            assert "127.0.0.1:" in value


def test_services_do_not_contradict_each_other(place: Place) -> None:
    seen: dict[str, str] = {}
    for service in SERVICES.values():
        for name, value in service.variables(place).items():
            assert seen.setdefault(name, value) == value


@pytest.mark.parametrize("service", SERVICES.values(), ids=lambda service: service.name)
def test_commands_name_no_other_interface_and_carry_no_secret(
    service: Service, place: Place
) -> None:
    command = service.command(place)
    line = " ".join(command.argv)
    assert "0.0.0.0" not in line
    assert any(str(place.ports[port]) in line for port in service.ports)
    for secret in (place.root / "secrets").glob("*"):
        # Arguments are visible to every user of the machine.
        assert secret.read_text() not in line


def test_a_secret_is_kept_and_private(place: Place) -> None:
    secret = place.secret("x")
    assert len(secret) >= 32
    assert place.secret("x") == secret
    assert place.secret("y") != secret
    assert stat.S_IMODE((place.root / "secrets" / "x").stat().st_mode) == 0o600


def test_an_unknown_server_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"unknown server mysql; there are postgres, gcs"):
        Stack(tmp_path).up(["mysql"])
    assert not list(tmp_path.iterdir())


def test_reset_refuses_a_directory_that_is_no_stack(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").touch()
    with pytest.raises(StackError, match="not a state directory"):
        Stack(tmp_path).reset()
    assert (tmp_path / "data" / "precious").exists()


def test_a_missing_servers_environment_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUINTET_SERVERS_VENV", str(tmp_path / "none"))
    with pytest.raises(StackError, match="make install"):
        servers_python()


def test_a_missing_package_says_what_to_do(place: Place) -> None:
    with pytest.raises(StackError, match="make install"):
        place.package("no_such_package")


def test_another_version_of_the_bigquery_emulator_is_refused() -> None:
    bigquery_server.check_version("1.4.0")
    with pytest.raises(SystemExit, match=r"bqemulator 1\.4\.1 is installed.*1\.4\.0"):
        bigquery_server.check_version("1.4.1")


def test_another_version_of_milvus_lite_is_refused() -> None:
    milvus_server.check_version("3.2.2")
    with pytest.raises(SystemExit, match=r"milvus-lite 3\.3\.0 is installed.*3\.2\.2"):
        milvus_server.check_version("3.3.0")


def test_root_passes_private_directories_only_when_it_must(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(postgres, "_reachable", lambda _: True)
    assert not any("dac_override" in part for part in postgres.SERVICE.command(place).argv)
    monkeypatch.setattr(postgres, "_reachable", lambda _: False)
    assert any("dac_override" in part for part in postgres.SERVICE.command(place).argv)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert postgres.SERVICE.command(dataclasses.replace(place)).argv[0].endswith("bin/postgres")
