"""Objectives: what a round's update asks of the policy, or of a reward model. Their formulas are `recipes.losses`'."""
