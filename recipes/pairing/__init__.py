"""Pairing: which responses an objective learns from, one rule a module. Ties never become labels."""
