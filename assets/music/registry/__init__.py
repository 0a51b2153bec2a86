"""What every music table is made of, a module per layer; ``assets.music.tables`` gives it out."""

#: The schema of music's tables, and the first part of its assets' keys.
PIPELINE = "music"
