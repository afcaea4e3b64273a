"""Settings: as a form from their declarations, and as the text of their file."""
