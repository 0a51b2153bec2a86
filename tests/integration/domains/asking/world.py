"""A month of prompts in a real Postgres, and what is true of its ledger whatever happened."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from assets.domains.asking import ledger
from assets.domains.asking.engine import ask_month
from assets.domains.asking.ledger import Prompt
from assets.domains.asking.limits import AskingLimits
from assets.domains.asking.outcome import Problem
from assets.domains.asking.progress import AskingReport
from resources.openai import OpenAIResource
from resources.postgres import PostgresResource

MONTH = date(2025, 3, 1)
MODEL = "gpt-small"
INPUT, OUTPUT = 0.25, 2.0
LOG = logging.getLogger("tests.asking")


def prompt(number: int | str, *, text: str = "revenue 1M to 2M", limit: int = 200) -> Prompt:
    """One that names its number; the stand-in's answer repeats it."""
    return Prompt(
        prompt_hash=f"hash-{number:05}" if isinstance(number, int) else number,
        request={
            "model": MODEL,
            "messages": [
                {"role": "system", "content": "One line."},
                {"role": "user", "content": f"domain number {number}: {text}"},
            ],
            "max_completion_tokens": limit,
        },
        facts={"number": number},
    )


def names_its_number(facts: Mapping[str, Any], text: str) -> Problem | None:
    """A review: the text is of the prompt's own domain."""
    if f"number {facts['number']}:" in text:
        return None
    return Problem("another", f"Write about number {facts['number']}: that one only.")


def anything_goes(_facts: Mapping[str, Any], _text: str) -> Problem | None:
    return None


def limits(**changed: Any) -> AskingLimits:
    """Small and quick ones."""
    return AskingLimits(
        **{
            "model": MODEL,
            "input_price": INPUT,
            "output_price": OUTPUT,
            "budget_micros": 10_000_000,
            "concurrency": 20,
            "timeout": 5.0,
            "longest_pause": 0.5,
            "progress_seconds": 0.5,
            **changed,
        }
    )


class World:
    def __init__(self, env: Mapping[str, str], base_url: str | None = None) -> None:
        self.pg = PostgresResource(url=env["POSTGRES_URL"])
        self.openai = OpenAIResource(
            base_url=base_url or env["OPENAI_BASE_URL"],
            api_key=env.get("OPENAI_API_KEY", "sk-test"),
            embedding_model="none",
        )

    def add(self, *prompts: Prompt, month: date = MONTH) -> int:
        """Put prompts in, as those of the month's domains."""
        with self.pg.connect() as conn:
            new = ledger.enqueue(conn, prompts)
            with conn.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO domains.summary_prompt (month, domain, prompt_hash)"
                    " VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                    [(month, f"{one.prompt_hash}.example", one.prompt_hash) for one in prompts],
                )
        return new

    def ask(self, month: date = MONTH, **changed: Any) -> AskingReport:
        review = changed.pop("review", names_its_number)
        return ask_month(
            self.pg, self.openai, month, review=review, limits=limits(**changed), log=LOG
        )

    def query(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self.pg.connect() as conn:
            return conn.execute(statement, parameters).fetchall()

    def states(self) -> dict[str, int]:
        return dict(
            self.query("SELECT state, count(*) FROM domains.openai_answer GROUP BY 1 ORDER BY 1")
        )

    def answer(self, prompt_hash: str) -> dict[str, Any]:
        [row] = self.query(
            "SELECT to_jsonb(a) FROM domains.openai_answer a WHERE prompt_hash = %s", prompt_hash
        )
        return row[0]

    def attempts(self) -> dict[str, int]:
        return dict(
            self.query("SELECT result, count(*) FROM domains.openai_attempt GROUP BY 1 ORDER BY 1")
        )

    def tokens(self) -> tuple[int, int]:
        [row] = self.query(
            "SELECT coalesce(sum(prompt_tokens), 0), coalesce(sum(completion_tokens), 0)"
            " FROM domains.openai_attempt WHERE paid = 'yes'"
        )
        return row

    def assert_sound(self, share: str = "1") -> None:
        """Every sum of the ledger, recounted from its rows with exact arithmetic."""
        for key, spent, reserved, written_off, maximum in self.query(
            "SELECT key, spent, reserved, written_off, maximum FROM domains.openai_budget"
        ):
            rows = self.query(
                "SELECT prompt_tokens, completion_tokens, cost, written_off, paid"
                " FROM domains.openai_attempt WHERE budget = %s",
                key,
            )
            for prompt_tokens, completion_tokens, cost, lost, paid in rows:
                exact = prompt_tokens * Decimal("0.25") + completion_tokens * Decimal(2)
                assert cost == math.ceil(exact * Decimal(share))
                assert (paid == "maybe") or lost == 0
            assert spent == sum(row[2] + row[3] for row in rows)
            assert written_off == sum(row[3] for row in rows)
            held = self.query(
                "SELECT coalesce(sum(reserved), 0) FROM domains.openai_answer WHERE budget = %s",
                key,
            )
            assert held == [(reserved,)]
            assert spent + reserved <= maximum
        unequal = self.query(
            "SELECT prompt_hash, attempts, (SELECT count(*) FROM domains.openai_attempt t"
            " WHERE t.prompt_hash = a.prompt_hash) AS noted"
            " FROM domains.openai_answer a WHERE state NOT IN ('asked', 'batched')"
        )
        assert [row for row in unequal if row[1] != row[2]] == []
