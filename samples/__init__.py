"""Small data in the real formats, quirks included, the same for the same seed."""
