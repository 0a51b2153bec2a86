"""Silver: what all files say of songs, as a star schema in Postgres."""
