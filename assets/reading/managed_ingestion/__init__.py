"""Google's own carriers of messages, and the way of what they land into the tables."""
