"""Plays of songs by listeners: from the copies of files into Postgres."""
