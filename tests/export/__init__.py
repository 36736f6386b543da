"""Tests of the tables that other tools read."""
