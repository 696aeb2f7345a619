"""Ray's actors as the driver sees them, and weight sync that is verified."""
