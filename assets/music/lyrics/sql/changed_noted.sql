-- Songs that got a genre outside any batch.
INSERT INTO music.lyrics_changed (song_key, changed_at)
SELECT key, clock_timestamp() FROM unnest(%(keys)s::text[]) AS changed (key)
ON CONFLICT (song_key) DO UPDATE SET changed_at = excluded.changed_at
