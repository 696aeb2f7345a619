"""Runs from the outside: begun, checked, executed, swept, watched."""
