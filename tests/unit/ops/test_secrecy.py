"""What is blanked of a text for the operator, and what must stay readable."""

from __future__ import annotations

import pytest

from assets.pipelines import without_secrets

#: As the embedded stack has it: one word names a user, a database, a project and buckets.
EMBEDDED = {
    "POSTGRES_URL": "postgresql://quintet:pg-s3cret@127.0.0.1:5432/quintet",
    "MINIO_ACCESS_KEY": "quintet",
    "MINIO_SECRET_KEY": "minio-s3cret",
    "GOOGLE_CLOUD_PROJECT": "quintet-local",
    "CAMPAIGNS_BUCKET": "quintet-campaigns",
}


@pytest.mark.parametrize(
    "variable",
    [
        "NEO4J_PASSWORD", "DB_PASSWD", "AWS_SECRET_ACCESS_KEY", "MILVUS_TOKEN", "OPENAI_API_KEY",
        "TYPESENSE_API_KEY", "MINIO_SECRET_KEY", "SOME_KEY_ID",
    ],
)  # fmt: skip
def test_every_kind_of_secret_is_blanked(variable):
    assert without_secrets("it was s3cret-value!", {variable: "s3cret-value"}) == "it was ***!"


@pytest.mark.parametrize("said", ["quintet at db", "gs://quintet-campaigns", "MinIO as quintet"])
def test_a_name_stays_though_it_is_somebody_s_user(said):
    assert without_secrets(said, EMBEDDED) == said


def test_a_password_that_is_a_database_s_name_too_is_blanked_in_urls_only():
    env = {**EMBEDDED, "POSTGRES_URL": "postgresql://quintet:quintet@db/quintet"}
    said = "gs://quintet-campaigns, postgresql://quintet:quintet@db/quintet"
    assert without_secrets(said, env) == (
        "gs://quintet-campaigns, postgresql://quintet:***@db/quintet"
    )


def test_a_short_secret_is_blanked_as_a_word_and_no_part_of_another():
    env = {"A_PASSWORD": "test"}
    assert without_secrets("the latest: password test, test2", env) == (
        "the latest: password ***, test2"
    )


def test_a_password_is_blanked_as_the_url_spells_it_and_as_it_is():
    env = {"MONGO_URI": "mongodb://app:p%40ss-word@db/x"}
    said = without_secrets("p%40ss-word p@ss-word mongodb://app:other@db", env)
    assert said == "*** *** mongodb://app:***@db"


def test_both_parts_of_a_token():
    env = {"MILVUS_TOKEN": "root:milvus-s3cret"}
    assert without_secrets("root:milvus-s3cret milvus-s3cret root", env) == "*** *** root"


def test_what_is_no_secret_stays():
    assert without_secrets("a b", {"X_TOKEN": "", "Y_API_KEY": "b"}) == "a b"
    assert without_secrets("the monkey", {"MONKEY": "the monkey"}) == "the monkey"
