"""The HTTP API: one module an area, each with ROUTES."""
