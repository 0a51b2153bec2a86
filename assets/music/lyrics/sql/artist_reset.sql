UPDATE music.artist_genre_lookup SET
    status = 'pending', attempts = 0, error = NULL, next_attempt_at = %(now)s, updated_at = %(now)s
WHERE status = 'missing'
