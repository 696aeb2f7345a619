"""The parts that a recipe is composed of: their registry, and what the core asks of each group's parts."""
