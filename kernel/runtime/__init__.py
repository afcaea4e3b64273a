"""The turn loop of one agent, a fold over its journal stream."""
