"""Protocols that adapters implement, one a file."""
