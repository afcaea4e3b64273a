"""Style: every part that pages are made of, to look at."""
