"""What the modules of `webui.api` are written with: operations, their document, paging, keys, tags."""
