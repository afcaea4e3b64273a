"""The embedded planner: explicit instructions in, tool calls and a plain report out. Source: RFC-0006."""
