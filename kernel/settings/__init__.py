"""Configuration: one frozen tree, made of layers, every field with its kind, bounds and policy."""

from kernel.settings.load import load_settings
from kernel.settings.tree import Settings

__all__ = ["Settings", "load_settings"]
