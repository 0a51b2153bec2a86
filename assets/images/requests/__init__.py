"""Request files: what may be asked for, and what a task is called."""
