"""Runs in a process that has imported everything: its server, and the launcher that asks it."""
