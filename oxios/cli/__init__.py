"""The commands, one file each, found by a package walk."""
