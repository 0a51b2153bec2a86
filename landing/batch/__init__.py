"""What becomes of a batch: reading, validation, winners, staging, quarantine, delivery, locks."""
