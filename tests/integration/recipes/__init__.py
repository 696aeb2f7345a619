"""Every recipe plays small rounds on the real engines, and what it learns from obeys its paper's rule.

The rules are written here from methods and numbers in the ledger alone: nothing of `recipes` is used.

A package, with this file, so that its one engine is closed after its last test, before another module starts one.
"""
