"""The personas that come with Oxios, as data: `<id>.md`, read by `kernel.persona`."""
