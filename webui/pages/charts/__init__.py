"""Metrics: how the figures went in the last hour, as charts and as tables."""
