"""Judges: who labels responses, one a module. Each answers a shard's rollouts with judgments."""
