"""Users, their roles and tokens, for who administers; everybody's own account."""
