"""Evaluation beyond a round's own: what is made of judgments after they are given, one statistic a module."""
