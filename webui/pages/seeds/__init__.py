"""Seeds: specifications, what descends from what, and how each run was judged."""
