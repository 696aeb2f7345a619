"""What a run directory holds, on a terminal."""
