"""The palette: find anything."""
