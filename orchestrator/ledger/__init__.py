"""The run directory: files that are written whole and verified, the stage table, which policy is which."""
