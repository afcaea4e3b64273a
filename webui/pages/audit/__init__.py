"""The journal: search it, verify it now, prove an entry in the browser."""
