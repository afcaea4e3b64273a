"""Policy: Seeds, and the cycle that carries them out."""
