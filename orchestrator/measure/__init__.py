"""Statistics over a round, the judge's health, and what they say against it."""
