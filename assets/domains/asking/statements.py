"""The statements by which prompts are claimed, settled and recovered.

Belongs here: SQL over openai_answer, openai_attempt and openai_budget that moves money. Does not:
running it (``claims``). Each is one statement, so that it is one transaction: a prompt, its attempt
and its cost never disagree. What is reserved in a budget is the sum of what its prompts reserve.

Locks are taken on prompts first (those of others are skipped) and on the budget last.
"""

from __future__ import annotations

OPEN_BUDGET = """
INSERT INTO domains.openai_budget (key, maximum) VALUES (%(budget)s, %(maximum)s)
ON CONFLICT (key) DO UPDATE SET maximum = excluded.maximum
"""

_OF_THE_MONTH = """
EXISTS (SELECT FROM domains.summary_prompt s
        WHERE s.month = %(month)s AND s.prompt_hash = a.prompt_hash)
"""

#: Retries first. As many as the budget has room for; the others come with a null request.
CLAIM = f"""
WITH due AS MATERIALIZED (
    SELECT a.prompt_hash, a.attempts,
           ceil(a.prompt_bound * %(input)s::numeric
                + a.completion_bound * %(output)s::numeric)::bigint AS worst
    FROM domains.openai_answer a
    WHERE a.state = 'pending' AND a.due_at <= clock_timestamp() AND a.failures < %(failures)s
      AND {_OF_THE_MONTH}
    ORDER BY a.attempts DESC, a.prompt_hash
    LIMIT %(limit)s
    FOR UPDATE OF a SKIP LOCKED
), budget AS MATERIALIZED (
    SELECT maximum - spent - reserved AS room FROM domains.openai_budget
    WHERE key = %(budget)s FOR UPDATE
), fitting AS (
    SELECT prompt_hash, worst FROM (
        SELECT prompt_hash, worst,
               sum(worst) OVER (ORDER BY attempts DESC, prompt_hash) AS upto
        FROM due
    ) running, budget
    WHERE upto <= room
), claimed AS (
    UPDATE domains.openai_answer a
    SET state = %(state)s, owner = %(owner)s, batch_key = %(batch)s, budget = %(budget)s,
        reserved = fitting.worst, attempts = a.attempts + 1, asked_at = now()
    FROM fitting WHERE a.prompt_hash = fitting.prompt_hash
    RETURNING a.prompt_hash, a.request, a.facts, a.reask, a.attempts, a.failures, a.reserved,
              a.prompt_bound, a.completion_bound
), reserved AS (
    UPDATE domains.openai_budget
    SET reserved = reserved + (SELECT coalesce(sum(claimed.reserved), 0) FROM claimed)
    WHERE key = %(budget)s
)
SELECT due.prompt_hash, c.request, c.facts, c.reask, c.attempts, c.failures, c.reserved,
       c.prompt_bound, c.completion_bound
FROM due LEFT JOIN claimed c USING (prompt_hash)
ORDER BY due.attempts DESC, due.prompt_hash
"""

#: Attempts are counted once, however often this is sent: a connection that breaks in a commit
#: does not say whether it took place. An answer is taken from an owner that was given up, too, as
#: long as there is no other; what it failed at is not.
SETTLE = """
WITH result AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%(results)s::jsonb) AS r (
        prompt_hash text, attempt integer, mode text, result text, paid text,
        prompt_tokens integer, completion_tokens integer, cost bigint, written_off bigint,
        state text, failures integer, wait double precision, reask jsonb,
        prompt_bound integer, completion_bound integer,
        answer text, outcome text, reason text, finish_reason text, usage jsonb,
        request_id text, error text)
), fresh AS (
    INSERT INTO domains.openai_attempt AS t (prompt_hash, attempt, mode, budget, result, paid,
        prompt_tokens, completion_tokens, cost, written_off)
    SELECT prompt_hash, attempt, mode, %(budget)s, result, paid, prompt_tokens,
           completion_tokens, cost, written_off
    FROM result ORDER BY prompt_hash, attempt
    ON CONFLICT (prompt_hash, attempt) DO UPDATE
    SET result = excluded.result, paid = excluded.paid, prompt_tokens = excluded.prompt_tokens,
        completion_tokens = excluded.completion_tokens, cost = excluded.cost
    WHERE t.result = 'abandoned'
    -- xmax is 0 in a row that is new.
    RETURNING t.prompt_hash, t.attempt, t.cost,
              CASE WHEN t.xmax = 0 THEN t.written_off ELSE 0 END AS written_off
), held AS MATERIALIZED (
    SELECT a.prompt_hash, r.attempt, a.reserved, a.budget
    FROM domains.openai_answer a JOIN result r USING (prompt_hash) JOIN fresh f USING (prompt_hash)
    WHERE f.attempt = r.attempt
      AND ((a.owner = %(owner)s AND a.state IN ('asked', 'batched') AND a.attempts = r.attempt)
           OR (r.outcome IS NOT NULL AND a.state IN ('pending', 'asked')))
    ORDER BY a.prompt_hash FOR UPDATE OF a
), settled AS (
    UPDATE domains.openai_answer a
    SET state = r.state, failures = r.failures, reask = r.reask,
        due_at = clock_timestamp() + make_interval(secs => r.wait),
        prompt_bound = r.prompt_bound, completion_bound = r.completion_bound,
        owner = NULL, budget = NULL, batch_key = NULL, reserved = 0, cost = a.cost + r.cost,
        answer = coalesce(r.answer, a.answer), outcome = r.outcome, reason = r.reason,
        finish_reason = coalesce(r.finish_reason, a.finish_reason),
        usage = coalesce(r.usage, a.usage), request_id = coalesce(r.request_id, a.request_id),
        error = r.error,
        answered_at = CASE WHEN r.outcome IS NULL THEN a.answered_at ELSE now() END
    FROM result r JOIN held h USING (prompt_hash, attempt)
    WHERE a.prompt_hash = r.prompt_hash
), changed AS (
    SELECT key, sum(spent) AS spent, sum(written_off) AS written_off, sum(released) AS released
    FROM (
        SELECT %(budget)s AS key, cost + written_off AS spent, written_off, 0 AS released
        FROM fresh
        UNION ALL
        SELECT budget, 0, 0, reserved FROM held WHERE budget IS NOT NULL
    ) one GROUP BY key
)
UPDATE domains.openai_budget b
SET spent = b.spent + changed.spent, written_off = b.written_off + changed.written_off,
    reserved = b.reserved - changed.released
FROM changed WHERE b.key = changed.key
"""

#: What was claimed and not asked.
RELEASE = """
WITH released AS (
    UPDATE domains.openai_answer a
    SET state = 'pending', owner = NULL, budget = NULL, batch_key = NULL, reserved = 0,
        attempts = a.attempts - 1
    FROM (
        SELECT prompt_hash, budget, reserved FROM domains.openai_answer
        WHERE owner = %(owner)s AND state = 'asked' AND prompt_hash = ANY(%(hashes)s)
        ORDER BY prompt_hash FOR UPDATE
    ) held
    WHERE a.prompt_hash = held.prompt_hash
    RETURNING held.budget, held.reserved
)
UPDATE domains.openai_budget b SET reserved = b.reserved - r.reserved
FROM (SELECT budget, sum(reserved) AS reserved FROM released GROUP BY budget) r
WHERE b.key = r.budget
"""

ASKERS = "SELECT DISTINCT owner FROM domains.openai_answer WHERE state = 'asked'"

#: What a dead owner had asked may have been paid for, at its worst.
RECOVER = """
WITH held AS MATERIALIZED (
    SELECT prompt_hash, attempts, budget, reserved FROM domains.openai_answer
    WHERE owner = %(owner)s AND state = 'asked'
    ORDER BY prompt_hash FOR UPDATE SKIP LOCKED
), returned AS (
    UPDATE domains.openai_answer a
    SET state = 'pending', owner = NULL, budget = NULL, reserved = 0
    FROM held WHERE a.prompt_hash = held.prompt_hash
), noted AS (
    INSERT INTO domains.openai_attempt (prompt_hash, attempt, mode, budget, result, paid,
        written_off)
    SELECT prompt_hash, attempts, 'direct', budget, 'abandoned', 'maybe', reserved FROM held
    ON CONFLICT DO NOTHING
), budget AS (
    UPDATE domains.openai_budget b
    SET reserved = b.reserved - h.amount, spent = b.spent + h.amount,
        written_off = b.written_off + h.amount
    FROM (SELECT budget, sum(reserved) AS amount FROM held GROUP BY budget) h
    WHERE b.key = h.budget
)
SELECT count(*) FROM held
"""

#: A new run gives those another chance that an earlier one had given up.
FORGIVE = f"""
UPDATE domains.openai_answer a SET failures = 0
WHERE a.state = 'pending' AND a.failures >= %(failures)s AND {_OF_THE_MONTH}
"""

#: Prompts of the month: due now or later, given up, asked by others; seconds until the next.
OUTLOOK = f"""
SELECT count(*) FILTER (WHERE a.state = 'pending' AND a.failures < %(failures)s),
       count(*) FILTER (WHERE a.state = 'pending' AND a.failures >= %(failures)s),
       count(*) FILTER (WHERE a.state = 'asked' AND a.owner <> %(owner)s),
       extract(epoch FROM min(a.due_at) FILTER (
           WHERE a.state = 'pending' AND a.failures < %(failures)s) - clock_timestamp()
       )::double precision
FROM domains.openai_answer a
WHERE a.state IN ('pending', 'asked') AND {_OF_THE_MONTH}
"""

#: Whether anything that may give money back is being asked now.
IN_FLIGHT = """
SELECT EXISTS (SELECT FROM domains.openai_answer WHERE state = 'asked' AND budget = %(budget)s)
"""
