"""Every recipe plays small rounds on the real engines, and what it learns from obeys its paper's rule.

The rules are written here from methods and numbers in the ledger alone: nothing of `recipes` is used.

What else needs one engine and one learner, the canaries and the policy gradients, is here for theirs. A package, with
this file, so that they are closed after its last test, before another module starts some.
"""
