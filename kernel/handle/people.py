"""Who there is: the operator, and the users and tokens that the journal tells of.

Guarantees: a principal's role is the kernel's to say, from its own record; a principal that is nobody
here has none, and the gate refuses it. What is taken (a user, a token, a role) is taken in memory at
once, before the journal hears of it; what is given was durable before it counts. Of a token the journal
holds its SHA-256 digest alone, of a password nothing but that it was set.

Does not know what a user may do: capabilities and the policy file say that.

Source: RFC-0016.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Final

from kernel.clock import Clock
from kernel.errors import Conflict, Invalid, NotFound
from kernel.handle.people_record import Person, Role, Token, person_of, token_of
from kernel.ids import Principal, new_id
from kernel.journal.appender import Appender
from kernel.journal.entry import SYSTEM_STREAM, Draft
from kernel.process.supervisor import AGENT_ROLE

OPERATOR_ROLE: Final = "operator"
NO_ROLE: Final = ""
"""Of a principal that is nobody here: no rule of the policy file can name it."""
USERS_MAX: Final = 1_000
TOKENS_MAX: Final = 10_000
NAME: Final = r"[a-z0-9](?:[a-z0-9._-]{0,30}[a-z0-9])?"
TOKEN_BYTES: Final = 32
PREFIX: Final = "oxios_"
"""Of every token's text, so that one that was let out is found by a search."""


def new_token() -> tuple[str, str]:
    """A token's text, to be shown once, and the digest that stands for it."""
    text = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    return text, token_digest(text)


def token_digest(text: str) -> str:
    return sha256(text.encode(errors="replace")).hexdigest()


class UserDesk:
    """The users and tokens of this home, kept in step with the journal. Provided at boot."""

    def __init__(self, journal: Appender, clock: Clock, operator: Principal) -> None:
        self.operator = operator
        self._journal = journal
        self._clock = clock
        self._people: dict[str, Person] = {}
        self._tokens: dict[str, Token] = {}
        """By digest, revoked ones left out."""

    async def load(self) -> None:
        """Raises: Conflict, where the operator is one of the users: they would be taken for each other."""
        for row in await self._journal.rows("users", limit=USERS_MAX * 100):
            person = person_of(row)
            self._people[person.name] = person
        for row in await self._journal.rows("tokens", {"revoked_us": 0}, limit=TOKENS_MAX * 10):
            token = token_of(row)
            self._tokens[token.digest] = token
        mine = self._people.get(self.operator.removeprefix("user:"))
        if mine is not None and not mine.removed_us:
            raise Conflict(
                f"{self.operator} is a {mine.role} of this home and cannot be its operator",
                remedy=f"have its operator remove that user first: oxios users remove {mine.name}",
            )

    # Reading

    def role_of(self, principal: Principal) -> str:
        """Whatever the principal says of itself; NO_ROLE for one that is nobody here."""
        if principal == self.operator:
            return OPERATOR_ROLE
        kind, _, name = principal.partition(":")
        if kind == "agent":
            return AGENT_ROLE
        person = self._people.get(name) if kind == "user" else None
        return person.role if person is not None and not person.removed_us else NO_ROLE

    def people(self) -> tuple[Person, ...]:
        """Those who are users now, by name."""
        return tuple(self._people[name] for name in sorted(self._people) if not self._people[name].removed_us)

    def find(self, name: str) -> Person:
        """Raises: NotFound, unless they are a user now."""
        person = self._people.get(name)
        if person is None or person.removed_us:
            raise NotFound(f"there is no user {name!r}", remedy="see `oxios users list`")
        return person

    def known(self, name: str) -> Principal:
        """The principal of a user or of the operator. Raises: NotFound."""
        if self.operator == f"user:{name}":
            return self.operator
        return self.find(name).principal

    def tokens(self) -> tuple[Token, ...]:
        """Those that were not revoked, oldest first."""
        return tuple(sorted(self._tokens.values(), key=lambda token: (token.created_us, token.id)))

    def token(self, text: str) -> Token | None:
        """The token with this text that may be used now. Found by digest, so its text is never compared."""
        found = self._tokens.get(token_digest(text))
        return found if found is not None and self.opens(found) else None

    def opens(self, token: Token) -> bool:
        """Whether it may be used now: not revoked, not run out, and its owner is somebody."""
        if token.digest not in self._tokens or (token.expires_us and self._clock.now_us() >= token.expires_us):
            return False
        return bool(self.role_of(token.owner))

    # Changing: each is called by a syscall's body, after the gate.

    def require_new(self, name: str, *, again: bool) -> None:
        """Raises: Invalid, Conflict: the name cannot be given to a new user."""
        if not re.fullmatch(NAME, name):
            raise Invalid(
                f"{name!r} is no user's name", remedy="use 1 to 32 lower-case letters, digits and . _ - within"
            )
        if self.operator == f"user:{name}":
            raise Conflict(f"{name} is the operator's name", remedy="choose another name")
        before = self._people.get(name)
        if before is not None and not before.removed_us:
            raise Conflict(f"there is a user {name} already", remedy="choose another name, or change that one")
        if before is not None and not again:
            raise Conflict(
                f"there was a user {name} before, whose runs and sessions the new one would get",
                remedy="choose another name, or say that it is the same person: --again",
            )
        if len(self.people()) >= USERS_MAX:
            raise Conflict(f"there are {USERS_MAX} users already", remedy="remove some")

    async def create(self, name: str, role: Role, workspace: str, by: Principal) -> Person:
        """Raises: JournalDown."""
        payload = {"name": name, "role": role, "workspace": workspace, "by": by}
        entry = await self._journal.append(Draft(by, SYSTEM_STREAM, "user.created", payload))
        person = self._people[name] = Person(name, role, workspace, entry.time_us, by)
        return person

    async def change(self, person: Person, role: Role, workspace: str, by: Principal) -> Person:
        """The old role is gone at once; what the new one gives is derived after this. Raises: JournalDown."""
        changed = self._people[person.name] = replace(person, role=role, workspace=workspace)
        payload = {"name": person.name, "role": role, "workspace": workspace, "by": by}
        await self._journal.append(Draft(by, SYSTEM_STREAM, "user.changed", payload))
        return changed

    async def remove(self, person: Person, by: Principal) -> None:
        """Raises: JournalDown; they are nobody any more until the next boot."""
        self._people[person.name] = replace(person, removed_us=self._clock.now_us())
        for token in [one for one in self._tokens.values() if one.owner == person.principal]:
            await self.revoke(token, by)
        await self._journal.append(Draft(by, SYSTEM_STREAM, "user.removed", {"name": person.name, "by": by}))

    async def add_token(
        self, owner: Principal, name: str, scopes: Iterable[str], digest: str, *, by: Principal, expires_us: int
    ) -> Token:
        """Raises: Conflict (such a token was made before, too many), JournalDown."""
        if await self._journal.rows("tokens", {"digest": digest}, limit=1):
            raise Conflict("a token with this digest was made before", remedy="make a new one")
        if len(self._tokens) >= TOKENS_MAX:
            raise Conflict(f"there are {TOKENS_MAX} tokens already", remedy="revoke some")
        now_us = self._clock.now_us()
        token = Token(new_id("t", now_us), owner, name, frozenset(scopes), digest, now_us, by, expires_us)
        payload = {**token.json(), "digest": digest}
        await self._journal.append(Draft(by, SYSTEM_STREAM, "token.created", payload))
        self._tokens[digest] = token
        return token

    def find_token(self, token: str) -> Token:
        """By its id. Raises: NotFound."""
        for one in self._tokens.values():
            if one.id == token:
                return one
        raise NotFound(f"there is no token {token!r}", remedy="see `oxios tokens list`")

    async def revoke(self, token: Token, by: Principal) -> None:
        """Raises: JournalDown; it opens nothing any more until the next boot."""
        self._tokens.pop(token.digest, None)
        await self._journal.append(Draft(by, SYSTEM_STREAM, "token.revoked", {"id": token.id, "by": by}))

    async def note_password(self, principal: Principal, *, kept: bool, by: Principal) -> None:
        """That a password was set or taken away. Raises: JournalDown."""
        payload = {"principal": principal, "kept": kept, "by": by}
        await self._journal.append(Draft(by, SYSTEM_STREAM, "user.password", payload))
