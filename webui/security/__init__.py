"""Who comes in, and what every request must be before a page sees it."""
