"""Which landed messages are valid, why the others are not, and the statements over both.

Belongs here: SQL, complete but for the tables' names. Does not: running it (``landed.py``).

The rules are those of ``stream/messages.py``, said again for BigQuery, which reads as many messages
as Google's carriers can land; a test gives the same messages to both. Of two members of one name
BigQuery takes the first, a session the last.
"""

from __future__ import annotations

#: Rejected rows that one merge copies to Postgres, of each topic.
MOST_REJECTS = 10_000

#: What str.strip() takes away; a bound parameter, for it cannot be read in a statement.
BLANKS = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
    "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)

# Regular expressions without braces, which templates would take for names.
_WHOLE = r"r'^-?[0-9]+$'"
# By how a value is written, since a number may be written as an integer, a decimal or a power.
_NUMBER = r"r'^-?[0-9]'"
_STRING = "r'^\"'"
_DAY = r"\d\d\d\d-\d\d-\d\d"
_CLOCK = rf"{_DAY}[ T]\d\d:\d\d"
_TIME = rf"r'^{_DAY}$|^{_CLOCK}(:\d\d(\.\d\d?\d?\d?\d?\d?)?)?(Z|[+-]\d\d:?\d\d)?$'"
# BigQuery wants seconds in a time, and a colon in an offset.
_SPELLED = (
    rf"REGEXP_REPLACE(REGEXP_REPLACE(written, r'^({_CLOCK})(Z|[+-].*)?$', r'\1:00\2'), "
    r"r'([+-]\d\d)(\d\d)$', r'\1:\2')"
)

# The two that may be large numbers are rounded rather than making the whole message no JSON.
_DOCUMENT = "SAFE.PARSE_JSON(data, wide_number_mode => 'round') AS document"
_NEW = "_PARTITIONTIME IS NULL OR _PARTITIONTIME >= @arrived"
_SOURCE = "CONCAT('message:', COALESCE(message_id, TO_HEX(SHA256(data)))) AS source"

_EVENTS = f"""
SELECT *,
  CASE
    WHEN data IS NULL OR BYTE_LENGTH(data) > 65536 THEN 'too_long'
    WHEN document IS NULL THEN 'not_json'
    WHEN JSON_TYPE(document) != 'object' THEN 'not_an_object'
    WHEN document.user_id IS NULL OR document.content_id IS NULL
      OR document.read_percent IS NULL OR document.updated_at IS NULL THEN 'missing_field'
    WHEN NOT REGEXP_CONTAINS(TO_JSON_STRING(document.user_id), {_WHOLE})
      OR NOT REGEXP_CONTAINS(TO_JSON_STRING(document.content_id), {_WHOLE})
      OR NOT REGEXP_CONTAINS(TO_JSON_STRING(document.read_percent), {_NUMBER})
      OR NOT REGEXP_CONTAINS(TO_JSON_STRING(document.updated_at), {_STRING}) THEN 'wrong_type'
    WHEN user_id IS NULL OR content_id IS NULL OR read_percent IS NULL OR read_percent < 0
      OR IS_INF(read_percent) OR IS_NAN(read_percent) THEN 'out_of_range'
    WHEN NOT REGEXP_CONTAINS(written, {_TIME}) OR updated_at IS NULL THEN 'bad_date'
    WHEN updated_at < TIMESTAMP '2000-01-01 00:00:00+00' THEN 'before_2000'
    WHEN updated_at > TIMESTAMP_ADD(publish_time, INTERVAL 5 MINUTE)
      AND DATE(updated_at) > DATE(publish_time) THEN 'future_date'
  END AS reason
FROM (
  SELECT *, SAFE_CAST({_SPELLED} AS TIMESTAMP) AS updated_at
  FROM (
    SELECT *,
      SAFE_CAST(TO_JSON_STRING(document.user_id) AS INT64) AS user_id,
      SAFE_CAST(TO_JSON_STRING(document.content_id) AS INT64) AS content_id,
      SAFE_CAST(TO_JSON_STRING(document.read_percent) AS FLOAT64) + 0.0 AS read_percent,
      JSON_VALUE(document.updated_at) AS written
    FROM (
      SELECT *, {_DOCUMENT}, {_SOURCE} FROM `{{user_interaction_landed}}` WHERE {_NEW}
    )
  )
)
"""

_CATEGORIES = f"""
SELECT *,
  CASE
    WHEN data IS NULL OR BYTE_LENGTH(data) > 65536 THEN 'too_long'
    WHEN document IS NULL THEN 'not_json'
    WHEN JSON_TYPE(document) != 'object' THEN 'not_an_object'
    WHEN document.content_id IS NULL OR document.category_name IS NULL THEN 'missing_field'
    WHEN NOT REGEXP_CONTAINS(TO_JSON_STRING(document.content_id), {_WHOLE})
      OR NOT REGEXP_CONTAINS(TO_JSON_STRING(document.category_name), {_STRING}) THEN 'wrong_type'
    WHEN content_id IS NULL THEN 'out_of_range'
    WHEN category_name = '' THEN 'empty'
    WHEN CHAR_LENGTH(category_name) > 200 THEN 'too_long'
  END AS reason
FROM (
  SELECT *,
    SAFE_CAST(TO_JSON_STRING(document.content_id) AS INT64) AS content_id,
    TRIM(NORMALIZE(JSON_VALUE(document.category_name), NFC), @blanks) AS category_name
  FROM (SELECT *, {_DOCUMENT}, {_SOURCE} FROM `{{content_meta_landed}}` WHERE {_NEW})
)
"""

DAYS = f"""
SELECT DATE(updated_at) AS day, reason, COUNT(*) AS messages
FROM ({_EVENTS}) GROUP BY day, reason
"""
COUNT_CATEGORIES = f"""
SELECT reason, COUNT(*) AS messages
FROM ({_CATEGORIES}) GROUP BY reason
"""

# Both sides are bounded by the same days: what landed since they were asked for stays for the next
# merge, instead of passing by a target of which other days are read.
MERGE_EVENTS = f"""
MERGE `{{user_interaction}}` AS t
USING (
  SELECT user_id, content_id, read_percent, updated_at, MIN(source) AS source
  FROM ({_EVENTS})
  WHERE reason IS NULL AND updated_at >= @start AND updated_at < @finish
  GROUP BY user_id, content_id, read_percent, updated_at
) AS s
ON t.updated_at >= @start AND t.updated_at < @finish AND t.updated_at = s.updated_at
  AND t.user_id = s.user_id AND t.content_id = s.content_id AND t.read_percent = s.read_percent
WHEN NOT MATCHED THEN
  INSERT (user_id, content_id, read_percent, updated_at, source, ingested_at)
  VALUES (s.user_id, s.content_id, s.read_percent, s.updated_at, s.source, @now)
"""
MERGE_CATEGORIES = f"""
MERGE `{{content_meta}}` AS t
USING (
  SELECT content_id, category_name, MIN(source) AS source
  FROM ({_CATEGORIES}) WHERE reason IS NULL GROUP BY content_id, category_name
) AS s
ON t.content_id = s.content_id AND t.category_name = s.category_name
WHEN NOT MATCHED THEN
  INSERT (content_id, category_name, source, ingested_at)
  VALUES (s.content_id, s.category_name, s.source, @now)
"""

# By when rows came in rather than by what this merge inserted: one that died after its MERGE is
# made up for by the next.
GAINED_DAYS = """
SELECT DATE(updated_at) AS day, COUNT(*) AS events
FROM `{user_interaction}`
WHERE updated_at >= @start AND updated_at < @finish AND ingested_at >= @since
GROUP BY day
"""
GAINED_CONTENTS = """
SELECT DISTINCT content_id FROM `{content_meta}` WHERE ingested_at >= @since
"""

REJECTED_EVENTS = f"""
SELECT source, publish_time, attributes, data, reason
FROM ({_EVENTS}) WHERE reason IS NOT NULL ORDER BY publish_time DESC LIMIT {MOST_REJECTS}
"""
REJECTED_CATEGORIES = f"""
SELECT source, publish_time, attributes, data, reason
FROM ({_CATEGORIES}) WHERE reason IS NOT NULL ORDER BY publish_time DESC LIMIT {MOST_REJECTS}
"""
