"""Guarded, journalled operations: their declaration, discovery and permits."""
