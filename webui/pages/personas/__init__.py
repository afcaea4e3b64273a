"""Personas: how agents speak and work; which is active; editing them."""
