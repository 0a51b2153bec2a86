"""What OpenAI was asked, what it answered, and what that cost.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA IF NOT EXISTS domains;

-- Money is in micro-dollars. spent = what attempts cost + what was written off, of this key.
CREATE TABLE domains.openai_budget (
    key text COLLATE "C" PRIMARY KEY,
    maximum bigint NOT NULL,
    spent bigint NOT NULL DEFAULT 0 CHECK (spent >= 0),
    -- The worst cases of what is being asked now: the sum of openai_answer.reserved.
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    -- The part of spent of which nobody knows whether it was paid.
    written_off bigint NOT NULL DEFAULT 0
);

-- One row per distinct prompt; a claim of it is one request.
CREATE TABLE domains.openai_answer (
    prompt_hash text COLLATE "C" PRIMARY KEY,
    request jsonb NOT NULL,
    facts jsonb NOT NULL,
    state text NOT NULL DEFAULT 'pending'
        CHECK (state IN ('pending', 'asked', 'batched', 'answered', 'rejected')),
    -- What the next request changes in `request`: a higher limit, a corrected conversation.
    reask jsonb,
    -- Tokens that the next request can't exceed.
    prompt_bound integer NOT NULL,
    completion_bound integer NOT NULL,
    -- Requests sent; failed ones since the last that was answered; when the next may be sent.
    attempts integer NOT NULL DEFAULT 0,
    failures integer NOT NULL DEFAULT 0,
    due_at timestamptz NOT NULL DEFAULT now(),
    -- Who asks now, at whose expense, in which batch.
    owner text,
    budget text COLLATE "C" REFERENCES domains.openai_budget,
    batch_key text COLLATE "C",
    reserved bigint NOT NULL DEFAULT 0,
    -- Of all attempts so far.
    cost bigint NOT NULL DEFAULT 0,
    answer text,
    outcome text CHECK (outcome IN ('ok', 'refused', 'truncated', 'filtered', 'invalid')),
    reason text,
    finish_reason text,
    usage jsonb,
    request_id text,
    error text,
    asked_at timestamptz,
    answered_at timestamptz,
    CHECK ((state IN ('asked', 'batched')) = (budget IS NOT NULL)),
    CHECK ((state IN ('answered', 'rejected')) = (outcome IS NOT NULL))
);
CREATE INDEX openai_answer_pending ON domains.openai_answer (attempts DESC, prompt_hash)
    WHERE state = 'pending';
CREATE INDEX openai_answer_asked ON domains.openai_answer (owner) WHERE state = 'asked';
CREATE INDEX openai_answer_batched ON domains.openai_answer (batch_key)
    WHERE state = 'batched';

-- One row per request sent, whatever became of it.
CREATE TABLE domains.openai_attempt (
    prompt_hash text COLLATE "C" NOT NULL,
    attempt integer NOT NULL,
    mode text NOT NULL CHECK (mode IN ('direct', 'batch')),
    budget text COLLATE "C" NOT NULL,
    -- ok, refused, truncated, filtered, invalid; or why there is no answer: a status, timeout, ...
    result text NOT NULL,
    paid text NOT NULL CHECK (paid IN ('yes', 'no', 'maybe')),
    prompt_tokens integer NOT NULL DEFAULT 0,
    completion_tokens integer NOT NULL DEFAULT 0,
    cost bigint NOT NULL DEFAULT 0,
    written_off bigint NOT NULL DEFAULT 0,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (prompt_hash, attempt)
);
CREATE INDEX openai_attempt_budget ON domains.openai_attempt (budget);

-- When the next request may start (GCRA): theoretical arrival times, seconds of the epoch.
CREATE TABLE domains.openai_rate (
    key text COLLATE "C" PRIMARY KEY,
    requests_at double precision NOT NULL DEFAULT 0,
    tokens_at double precision NOT NULL DEFAULT 0,
    -- The share of the limits that is used, cut by 429s; when it was last cut or raised.
    factor double precision NOT NULL DEFAULT 1,
    cut_at double precision NOT NULL DEFAULT 0,
    raised_at double precision NOT NULL DEFAULT 0,
    -- Limits a minute that the server told.
    told_requests double precision,
    told_tokens double precision
);

-- Files of requests for the Batch API; those of a batch have its key in openai_answer.
CREATE TABLE domains.openai_batch (
    key text COLLATE "C" PRIMARY KEY,
    budget text COLLATE "C" NOT NULL REFERENCES domains.openai_budget,
    state text NOT NULL DEFAULT 'intended'
        CHECK (state IN ('intended', 'created', 'collected')),
    requests integer NOT NULL,
    file_id text,
    batch_id text,
    status text,
    answered integer,
    failed integer,
    error text,
    intended_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz,
    collected_at timestamptz
);
CREATE INDEX openai_batch_open ON domains.openai_batch (budget) WHERE state <> 'collected';

-- Which prompt stands for a domain in a month.
CREATE TABLE domains.summary_prompt (
    month date NOT NULL,
    domain text COLLATE "C" NOT NULL,
    category text,
    prompt_hash text COLLATE "C" NOT NULL REFERENCES domains.openai_answer,
    PRIMARY KEY (month, domain)
);
CREATE INDEX summary_prompt_hash ON domains.summary_prompt (prompt_hash, month);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA domains CASCADE")
