"""The dashboard and the HTTP API. Source: RFC-0015."""
