"""One acknowledged write and its reading per server, through the server's official client."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from resources.milvus import KEEPALIVE

Env = Mapping[str, str]


@dataclass(frozen=True)
class Keeper:
    """``write`` returns once the server acknowledged; ``read`` tells whether the word is there."""

    write: Callable[[Env, str], None]
    read: Callable[[Env, str], bool]


def _postgres_write(env: Env, word: str) -> None:
    import psycopg

    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS public.kept (word text)")
        connection.execute("INSERT INTO public.kept VALUES (%s)", [word])


def _postgres_read(env: Env, word: str) -> bool:
    import psycopg

    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        found = connection.execute("SELECT 1 FROM public.kept WHERE word = %s", [word])
        return found.fetchone() is not None


def _gcs_blob(env: Env, word: str) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(
        project=env["GOOGLE_CLOUD_PROJECT"],
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": env["STORAGE_EMULATOR_HOST"]},
    )
    return client.bucket(env["CAMPAIGNS_BUCKET"]).blob(f"kept/{word}")


def bigquery_client(env: Env) -> Any:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import bigquery

    return bigquery.Client(
        project=env["GOOGLE_CLOUD_PROJECT"],
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": env["BIGQUERY_API_ENDPOINT"]},
    )


def _bigquery_write(env: Env, word: str) -> None:
    client = bigquery_client(env)
    client.create_dataset("kept", exists_ok=True)
    client.query_and_wait("CREATE TABLE IF NOT EXISTS kept.words (word STRING)")
    client.query_and_wait(f"INSERT INTO kept.words (word) VALUES ('{word}')")


def _bigquery_read(env: Env, word: str) -> bool:
    rows = bigquery_client(env).query_and_wait(f"SELECT 1 FROM kept.words WHERE word = '{word}'")
    return len(list(rows)) == 1


def _mongo(env: Env) -> Any:
    import pymongo

    return pymongo.MongoClient(env["MONGO_URI"], serverSelectionTimeoutMS=5000)


def _mongo_write(env: Env, word: str) -> None:
    with _mongo(env) as client:
        client.kept.words.insert_one({"_id": word})


def _mongo_read(env: Env, word: str) -> bool:
    with _mongo(env) as client:
        return client.kept.words.find_one({"_id": word}) is not None


def _bolt(env: Env) -> Any:
    import neo4j

    return neo4j.GraphDatabase.driver(
        env["NEO4J_URI"], auth=(env["NEO4J_USER"], env["NEO4J_PASSWORD"])
    )


def _bolt_write(env: Env, word: str) -> None:
    with _bolt(env) as driver:
        driver.execute_query(
            "CREATE (:Kept {word: $word})", word=word, database_=env["NEO4J_DATABASE"]
        )


def _bolt_read(env: Env, word: str) -> bool:
    with _bolt(env) as driver:
        found = driver.execute_query(
            "MATCH (k:Kept {word: $word}) RETURN k.word",
            word=word,
            database_=env["NEO4J_DATABASE"],
        )
        return len(found.records) == 1


def _milvus(env: Env) -> Any:
    from pymilvus import MilvusClient

    return MilvusClient(
        uri=env["MILVUS_URI"],
        token=env["MILVUS_TOKEN"],
        timeout=20,
        grpc_options=KEEPALIVE,
    )


def _milvus_write(env: Env, word: str) -> None:
    client = _milvus(env)
    if not client.has_collection("kept"):
        client.create_collection("kept", dimension=4)
    client.upsert("kept", [{"id": zlib.crc32(word.encode()), "vector": [1.0, 2.0, 3.0, 4.0]}])
    client.close()


def _milvus_read(env: Env, word: str) -> bool:
    client = _milvus(env)
    client.load_collection("kept")
    found = client.get("kept", [zlib.crc32(word.encode())])
    client.close()
    return len(found) == 1


def _s3(env: Env) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
        config=Config(connect_timeout=5, read_timeout=20),
    )


def _s3_write(env: Env, word: str) -> None:
    client = _s3(env)
    if "kept" not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket="kept")
    client.put_object(Bucket="kept", Key=word, Body=word.encode())


def _s3_read(env: Env, word: str) -> bool:
    found: bytes = _s3(env).get_object(Bucket="kept", Key=word)["Body"].read()
    return found == word.encode()


def _typesense_client(env: Env) -> Any:
    import typesense

    address = env["TYPESENSE_URL"].removeprefix("http://").split(":")
    node: Any = {"protocol": "http", "host": address[0], "port": int(address[1])}
    return typesense.Client(
        {"nodes": [node], "api_key": env["TYPESENSE_API_KEY"], "connection_timeout_seconds": 10}
    )


def _typesense_write(env: Env, word: str) -> None:
    client = _typesense_client(env)
    if "kept" not in [collection["name"] for collection in client.collections.retrieve()]:
        client.collections.create({"name": "kept", "fields": [{"name": "word", "type": "string"}]})
    client.collections["kept"].documents.upsert({"id": word, "word": word})


def _typesense_read(env: Env, word: str) -> bool:
    found = _typesense_client(env).collections["kept"].documents[word].retrieve()
    return bool(found["word"] == word)


def _pubsub(env: Env) -> Any:
    from resources.pubsub import PubSubResource

    return PubSubResource(
        project=env["GOOGLE_CLOUD_PROJECT"], emulator_host=env["PUBSUB_EMULATOR_HOST"]
    )


def _pubsub_write(env: Env, word: str) -> None:
    pubsub = _pubsub(env)
    topic, subscription = pubsub.topic_path(word), pubsub.subscription_path(word)
    with pubsub.publisher() as publisher, pubsub.subscriber() as subscriber:
        publisher.create_topic(name=topic)
        subscriber.create_subscription(name=subscription, topic=topic)
        publisher.publish(topic, word.encode()).result(20)


def _pubsub_read(env: Env, word: str) -> bool:
    pubsub = _pubsub(env)
    with pubsub.subscriber() as subscriber:
        pulled = subscriber.pull(subscription=pubsub.subscription_path(word), max_messages=9)
    return [item.message.data for item in pulled.received_messages] == [word.encode()]


KEEPERS: dict[str, Keeper] = {
    "postgres": Keeper(_postgres_write, _postgres_read),
    "gcs": Keeper(
        lambda env, word: _gcs_blob(env, word).upload_from_string(word),
        lambda env, word: _gcs_blob(env, word).download_as_text() == word,
    ),
    "bigquery": Keeper(_bigquery_write, _bigquery_read),
    "pubsub": Keeper(_pubsub_write, _pubsub_read),
    "mongo": Keeper(_mongo_write, _mongo_read),
    "bolt": Keeper(_bolt_write, _bolt_read),
    "milvus": Keeper(_milvus_write, _milvus_read),
    "s3": Keeper(_s3_write, _s3_read),
    "typesense": Keeper(_typesense_write, _typesense_read),
}
