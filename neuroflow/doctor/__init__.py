"""`neuroflow doctor`: what is wrong with an installation, why it matters, and what mends it."""
