"""Tools: what agents can call, what each call needs, and how calls went."""
