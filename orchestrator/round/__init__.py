"""One round: its stages over a stream of shards, its update, what it publishes and commits."""
