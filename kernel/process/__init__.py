"""Agents as processes: fork, exec, wait, kill."""
