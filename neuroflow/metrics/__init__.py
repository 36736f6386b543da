"""Prometheus metrics, read from the state database: the one truth that all processes share."""
