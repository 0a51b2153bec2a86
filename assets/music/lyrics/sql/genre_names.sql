INSERT INTO music.dim_genre (genre_key, name)
SELECT DISTINCT l.genre, l.genre
FROM music.artist_genre_lookup l
WHERE l.artist_key = ANY(%(keys)s) AND l.status = 'found' AND l.genre IS NOT NULL
ON CONFLICT (genre_key) DO NOTHING
