"""Between our words and pydantic-ai's: messages, events and errors."""
