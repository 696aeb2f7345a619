"""Losses: pure tensor functions, log-probs in, losses and detached metrics out; one function a paper."""
