"""From words on the command line to a frozen configuration, and what it says in words."""
