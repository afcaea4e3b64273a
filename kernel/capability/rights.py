"""Rights: what a capability lets its holder do with its resource."""

from __future__ import annotations

from enum import IntFlag

from kernel.errors import Invalid


class Rights(IntFlag):
    """A mask; `a & b == b` says that `a` covers `b`."""

    NONE = 0
    READ = 1
    WRITE = 2
    EXECUTE = 4
    DELEGATE = 8
    ALL = 15

    def __and__(self, other: int) -> Rights:
        # Asked dozens of times for a step of an agent; what IntFlag inherits takes ten times as long.
        return _MASKS[int.__and__(self, other)]

    def __or__(self, other: int) -> Rights:
        return _MASKS[int.__or__(self, other)]

    def covers(self, other: Rights) -> bool:
        return int.__and__(self, other) == other

    def letters(self) -> str:
        """`rwxd` in that order, `-` for none: `Rights.parse` reads it back."""
        return _SPELT[self]

    @classmethod
    def parse(cls, text: str) -> Rights:
        """Raises: Invalid, unless `text` is `-` or letters of `rwxd`."""
        rights = Rights.NONE
        for letter in "" if text == "-" else text:
            if letter not in _LETTERS:
                raise Invalid(
                    f"{text!r} names no rights",
                    remedy="use letters of r (read), w (write), x (execute), d (delegate), or -",
                )
            rights |= _LETTERS[letter]
        return rights


_MASKS = tuple(Rights(value) for value in range(Rights.ALL + 1))
_LETTERS = {"r": Rights.READ, "w": Rights.WRITE, "x": Rights.EXECUTE, "d": Rights.DELEGATE}
_SPELT = tuple("".join(letter for letter, right in _LETTERS.items() if mask & right) or "-" for mask in _MASKS)
