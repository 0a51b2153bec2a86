"""The reading pipeline: events from Pub/Sub and history files to a user's category shares."""
