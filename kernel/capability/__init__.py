"""Who may do what: rights, resources, capabilities and the tree they derive from."""
