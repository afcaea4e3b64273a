"""Agents: the processes that run now."""
