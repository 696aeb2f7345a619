"""Prompts: frozen at the start, ordered by seed, cut into shards."""
