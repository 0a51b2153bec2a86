"""Tasks: their items, how they get on, and what they leave behind."""
