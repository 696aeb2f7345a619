"""The science, as pure functions on records and tensors: generation, judging, pairing, objectives, evaluation."""
