"""The program: the `oxios` command and its composition root."""
