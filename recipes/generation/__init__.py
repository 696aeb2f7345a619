"""Generation: how responses to a shard's prompts come about, one way a module."""
