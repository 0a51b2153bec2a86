"""What starts runs and what follows their end; decisions are in ``landing``."""
