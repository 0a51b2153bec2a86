-- Every genre and year that has a song.
SELECT DISTINCT concat_ws(' ', g.name, s.year_key)
FROM music.fact_song AS s
JOIN music.dim_genre AS g ON g.genre_key = s.genre_key AND g.genre_key <> 'Unknown member'
