"""Hydra config groups and the starter prompts, shipped as package data."""
