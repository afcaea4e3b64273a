"""The program: the `oxios` command and its composition root."""

__version__ = "0.1.0"
