"""Seeds that come with Oxios: samples to carry out, and the templates of `oxios seed new`."""
