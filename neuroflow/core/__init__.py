"""The state database: the one place where neuroflow remembers anything."""
