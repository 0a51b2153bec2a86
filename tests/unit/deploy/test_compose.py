"""docker-compose.yml: no container engine runs in CI, so its promises are checked as a document."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from assets.pipelines import PIPELINES, declaration, defaults, landed_files, required

ROOT = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
DEFAULTS, REQUIRED = defaults(), required()
EXAMPLE = {
    m[1]: m[2]
    for m in re.finditer(
        r"^(?:# )?([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE
    )
}
#: Passwords that only the composed servers need, and what compose itself gives its containers.
COMPOSE_ONLY = {"POSTGRES_PASSWORD", "MONGO_PASSWORD", "GOOGLE_APPLICATION_CREDENTIALS"}


def test_only_what_people_ask_is_published_and_only_on_loopback():
    published = {name: s["ports"] for name, s in SERVICES.items() if "ports" in s}
    assert published == {"webserver": ["127.0.0.1:3000:3000"], "api": ["127.0.0.1:8000:8000"]}


def test_every_image_is_pinned_to_a_full_version():
    for name, service in SERVICES.items():
        image = service["image"]
        if image == "quintet:local":
            continue
        dated = r"RELEASE\.\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ"
        assert re.search(rf":(v?\d+\.\d+(\.\d+)?|{dated})", image), f"{name}: {image}"


def test_every_long_running_service_has_a_healthcheck():
    without = {name for name, s in SERVICES.items() if "healthcheck" not in s}
    ending = {"migrate", "buckets", "topics"}
    assert without == ending, "these end by themselves; the others are watched"


def test_no_secret_is_written_in_the_file():
    text = (ROOT / "docker-compose.yml").read_text()
    for line in text.splitlines():
        found = re.match(r"\s*[A-Z0-9_]*(PASSWORD|SECRET|KEY|TOKEN|AUTH)[A-Z_]*:\s+(\S+)", line)
        if found:
            assert "${" in found[2], line
    for url in re.findall(r"\w+://[^\s\"]+@", text):
        assert re.search(r"://\w+:\$\{\w+:\?\}@", url), url


def test_quintets_variables_are_those_of_the_example():
    variables = set(COMPOSE["x-quintet"]["environment"]) - COMPOSE_ONLY
    unset_here = {"DAGSTER_HOME", "STORAGE_EMULATOR_HOST"}
    assert variables == set(EXAMPLE) - unset_here


def test_defaults_in_compose_are_the_code_s_defaults():
    for name, value in COMPOSE["x-quintet"]["environment"].items():
        default = re.fullmatch(r"\$\{(\w+):-(.*)\}", value)
        if default:
            assert default[1] == name
            assert default[2] == DEFAULTS[name], name


def test_the_example_names_every_variable_with_its_default():
    assert set(EXAMPLE) >= set(DEFAULTS) | set(REQUIRED)
    assert {n: EXAMPLE[n] for n in DEFAULTS} == DEFAULTS
    assert all(EXAMPLE[name] == "" for name in REQUIRED), "secrets and addresses have no default"


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_what_a_declaration_reads_stands_in_the_example_and_in_compose(pipeline):
    declared = declaration(pipeline)
    variables = {*declared.settings.defaults(), *declared.requires}
    assert variables <= set(EXAMPLE)
    assert variables <= set(COMPOSE["x-quintet"]["environment"])


@pytest.mark.parametrize("files", landed_files(), ids=lambda files: files.job)
def test_compose_makes_the_buckets_that_a_declaration_names_on_minio(files):
    settings = files.settings
    buckets = {settings.variable(name) for name in settings.model_fields if "bucket" in name}
    made = set(re.findall(r"\$\$([A-Z_]+_BUCKET)", " ".join(SERVICES["buckets"]["command"])))
    assert buckets
    assert (buckets <= made) == (files.store == "minio")


def test_the_image_runs_as_another_user_than_root_and_from_the_lock_file():
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 10001$", dockerfile, re.MULTILINE)
    assert "uv sync --frozen" in dockerfile
