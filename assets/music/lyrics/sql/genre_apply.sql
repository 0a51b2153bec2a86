UPDATE music.fact_song f SET
    genre_key = l.genre,
    provenance = f.provenance || jsonb_build_object('genre', 'musicbrainz:' || l.artist_key)
FROM music.artist_genre_lookup l
WHERE l.artist_key = f.artist_key AND f.artist_key = ANY(%(keys)s)
    AND l.status = 'found' AND l.genre IS NOT NULL AND f.genre_key = 'Unknown member'
RETURNING f.song_key
