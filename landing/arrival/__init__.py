"""What has arrived: identity, scan, events, the ledger of versions and batches, the tick."""
