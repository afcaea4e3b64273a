"""Search: the words of one's own sessions."""
