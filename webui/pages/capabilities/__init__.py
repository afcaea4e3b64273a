"""Capabilities: who may do what, where it came from, and what taking it back would stop."""
