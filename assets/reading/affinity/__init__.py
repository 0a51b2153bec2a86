"""Counts per day, shares per query date, and one user's answer."""
