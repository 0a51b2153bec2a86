-- Songs by the Euclidean distance of their z-scored audio features from one song's.
-- Features: tempo, loudness, duration, mode, time signature, and the key as a point on the circle
-- of 12 pitch classes (cosine and sine), so that B is as near to C as C sharp is. A z-score is
-- (value - mean) / deviation over all songs that have every feature; in a difference of two the
-- mean cancels out. A feature in which all songs agree adds nothing.
WITH feature AS (
    SELECT song_key, tempo, loudness, duration, mode::double precision AS mode,
        time_signature::double precision AS time_signature,
        cos(key * pi() / 6) AS key_cos, sin(key * pi() / 6) AS key_sin
    FROM music.song_details
    WHERE num_nulls(tempo, loudness, duration, mode, time_signature, key) = 0
), deviation AS (
    SELECT nullif(stddev_pop(tempo), 0) AS tempo, nullif(stddev_pop(loudness), 0) AS loudness,
        nullif(stddev_pop(duration), 0) AS duration, nullif(stddev_pop(mode), 0) AS mode,
        nullif(stddev_pop(time_signature), 0) AS time_signature,
        nullif(stddev_pop(key_cos), 0) AS key_cos, nullif(stddev_pop(key_sin), 0) AS key_sin
    FROM feature
)
SELECT other.song_key,
    round(sqrt(
        coalesce(((other.tempo - one.tempo) / deviation.tempo) ^ 2, 0)
        + coalesce(((other.loudness - one.loudness) / deviation.loudness) ^ 2, 0)
        + coalesce(((other.duration - one.duration) / deviation.duration) ^ 2, 0)
        + coalesce(((other.mode - one.mode) / deviation.mode) ^ 2, 0)
        + coalesce(
            ((other.time_signature - one.time_signature) / deviation.time_signature) ^ 2, 0)
        + coalesce(((other.key_cos - one.key_cos) / deviation.key_cos) ^ 2, 0)
        + coalesce(((other.key_sin - one.key_sin) / deviation.key_sin) ^ 2, 0)
    )::numeric, 6) AS distance
FROM feature AS one
CROSS JOIN deviation
JOIN feature AS other ON other.song_key <> one.song_key
WHERE one.song_key = %(song)s
ORDER BY distance, other.song_key
LIMIT %(songs)s
