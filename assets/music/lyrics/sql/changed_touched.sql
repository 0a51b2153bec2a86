-- Songs that got a genre by a batch, which its files may not mention: gold follows them, too.
INSERT INTO music.touched (batch_id, kind, key)
SELECT %(batch)s, 'song', key FROM unnest(%(keys)s::text[]) AS changed (key)
ON CONFLICT DO NOTHING
