"""Checks over all of music, not one batch, and what they compare."""
