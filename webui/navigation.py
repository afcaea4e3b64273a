"""The menu: what each page says of itself."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NavItem:
    """`order` sorts within the `group`; `needs` is a capability without which the page is not offered."""

    label: str
    path: str
    icon: str
    order: int
    group: str = "Work"
    needs: str = ""
    keys: str = ""
    """A shortcut, as in `g c`."""


GROUPS = ("Work", "Trust", "System")


def sort_key(item: NavItem) -> tuple[int, int, str]:
    return GROUPS.index(item.group), item.order, item.label
