"""Plays as their sink and gold leave them, by SQL alone.

Belongs here: what tests of the routes share. Does not: any code under test.
"""

from __future__ import annotations

import psycopg


def played(url: str, user: str, songs: dict[str, int]) -> None:
    """That one file says how often a listener played each song; gold has it of songs there are."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "INSERT INTO music.play_file (record_key, row_hash, seq, source, pairs)"
            " VALUES ('k', 'h', 1, 'minio://music-raw/plays.txt#1', %s)",
            (len(songs),),
        )
        for song, plays in songs.items():
            connection.execute(
                "INSERT INTO music.fact_play SELECT %s, %s, %s, max(file_id) FROM music.play_file",
                (user, song, plays),
            )
        connection.execute(
            "INSERT INTO music.song_plays (song_key, plays, listeners)"
            " SELECT song_id, sum(plays), count(*) FROM music.fact_play"
            " JOIN music.fact_song ON song_key = song_id GROUP BY song_id"
        )
