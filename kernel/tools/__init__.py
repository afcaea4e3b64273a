"""Syscalls offered to a model, one file an area."""
