"""Files as they landed: read once, kept, and validated into records."""
