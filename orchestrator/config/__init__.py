"""The configuration: its schema, and the combinations that can never run."""
