"""New prompts: how the policy writes them, one way a module, and what drops them."""
