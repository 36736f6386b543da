"""Tables that other tools read."""
