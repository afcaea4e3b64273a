"""Models and routing: which there are, which is asked when, and how they served."""
