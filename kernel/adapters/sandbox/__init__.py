"""Ways to confine a child process."""
