"""The way in: by a link's code or by name and password; and the way out."""
