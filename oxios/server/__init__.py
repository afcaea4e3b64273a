"""The server: one process that owns a home, for browsers and for other `oxios` commands. Source: RFC-0015."""
