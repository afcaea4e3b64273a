"""Implementations of ports; imported by boot only."""
