"""Home: the machine at a glance."""
