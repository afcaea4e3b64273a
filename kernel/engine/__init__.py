"""Model calls above the provider port: which model, which key, when to ask again, and what it cost."""
