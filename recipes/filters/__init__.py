"""Filters: which of a round's pairs, or responses, are learnt from. One rule a module, on rows of numbers."""
