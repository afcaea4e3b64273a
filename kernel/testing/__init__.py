"""Fakes that ship and pass the same contracts as the real thing."""
