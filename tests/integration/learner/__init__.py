"""The learner on real DeepSpeed, alone: no rollout engine, no loop.

A package, with this file, so that its processes end after its last test, before another module starts some.
"""
