"""Runs: what agents did, step by step, and what may be done about it."""
