"""The conversation, with every tool call in view."""
