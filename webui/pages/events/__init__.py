"""The stream that tells pages which of their regions changed."""
