"""Conditioning: what the prompt that a response is learnt under says of it, one method a module."""
