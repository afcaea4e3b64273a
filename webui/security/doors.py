"""The doors: by link, by password, by token; and the way out.

Guarantees: who comes in is a user now, in the role that the kernel has for them now; a sign-in makes a new
session and ends the one that the browser brought, so a session that was planted is worth nothing. A new
password, whoever set it and wherever, ends the sessions that were begun before it. What is taken (a user, a
role, a token, a session) ends the answers that go on for it (`stays`). A wrong
password, an unknown name and a user without a password are one answer, in about one time. Tries are bounded
(`limits`). A token's last use is remembered here, in no entry.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kernel.errors import AccessDenied, NotFound
from kernel.ids import Principal
from kernel.journal.entry import SYSTEM_STREAM, Draft, Entry
from kernel.jsontypes import JsonObject
from webui.security.limits import SignInLimit
from webui.security.links import SignInLinks
from webui.security.origin import Origins
from webui.security.sessions import WebSession, WebSessions
from webui.security.stays import Stays
from webui.security.visitor import Visitor
from webui.user import User

if TYPE_CHECKING:
    from kernel.boot import Kernel
    from webui.options import WebOptions

_NOBODY: Final = Principal("user:nobody")


_TAKES: Final = ("user.removed", "user.changed", "user.password", "token.revoked")


class Doors:
    """Built once, by `open_doors`."""

    def __init__(self, kernel: Kernel, options: WebOptions) -> None:
        home, clock = kernel.settings.home, kernel.clock
        self.origins = Origins.of(options.url, options.allowed_hosts)
        self.secure = options.secure_cookies
        self.cookie = cookie_name(options.url, secure=options.secure_cookies)
        self._kernel = kernel
        self._sessions = WebSessions(home, clock)
        self._links = SignInLinks(home, clock)
        self._limit = SignInLimit(clock)
        self._used: dict[str, int] = {}
        self._sessions.load()
        self.stays = Stays(self._opens)
        self._unsubscribe = kernel.journal.subscribe(self._hear)

    def close(self) -> None:
        """Write what a restart is to find."""
        self._unsubscribe()
        self._sessions.close()

    # Coming in

    def issue_link(self, name: str = "") -> str:
        """The path of a link that signs `name` in once, within 15 minutes; without a name, the operator.

        Raises: NotFound.
        """
        return self._links.issue(self._kernel.users.known(name) if name else self._kernel.operator)

    def by_link(self, code: str, address: str, brought: str = "") -> str:
        """A new session's secret, in place of the one that was `brought`. Raises: AccessDenied, TooOften."""
        self._limit.begin(address)
        found = self._links.redeem(code.strip())
        if found is None or not self._still(*found):
            raise AccessDenied(
                "this link was used, has run out, or never was",
                layer="sign-in",
                remedy="have a new one made: oxios users link",
            )
        self._limit.passed(address)
        return self._begin(found[0], brought, "link", address)

    async def by_password(self, name: str, password: str, address: str, brought: str = "") -> str:
        """As `by_link`."""
        name = name.strip()[:64]
        self._limit.begin(address, name)
        try:
            principal = self._kernel.users.known(name)
        except NotFound:
            principal = _NOBODY
        right = await self._kernel.passwords.check(principal, password)
        if not right or not self._kernel.users.role_of(principal):
            raise AccessDenied(
                "name and password do not fit",
                layer="sign-in",
                remedy="try again, or have a link made: oxios users link",
            )
        self._limit.passed(address, name)
        return self._begin(principal, brought, "password", address)

    async def require_password(self, principal: Principal, password: str, address: str) -> None:
        """That who changes a password knows the present one, where there is one. Raises: AccessDenied, TooOften."""
        if not self._kernel.passwords.has(principal):
            return
        name = principal.removeprefix("user:")
        self._limit.begin(address, name)
        if not await self._kernel.passwords.check(principal, password):
            raise AccessDenied("the present password is another", layer="sign-in", remedy="enter it again")
        self._limit.passed(address, name)

    def by_session(self, secret: str) -> Visitor | None:
        """Whose cookie it is; None where it opens nothing."""
        session = self._sessions.find(secret)
        if session is None:
            return None
        if not self._good(session):
            self._end(secret)
            return None
        return Visitor(self._user(session.principal), secret)

    def by_token(self, text: str) -> Visitor | None:
        """Whose token it is; None where it opens nothing."""
        token = self._kernel.users.token(text)
        if token is None:
            return None
        self._used[token.id] = self._kernel.clock.now_us()
        return Visitor(self._user(token.owner, token.scopes), token=token)

    def renew(self, secret: str) -> str:
        """A new session's secret for the same user, in place of theirs: after a new password. Raises: NotFound."""
        session = self._sessions.find(secret)
        if session is None:
            raise NotFound("there is no such session", remedy="sign in again")
        self._end(secret)
        return self._sessions.begin(session.principal)

    # Going out

    def sign_out(self, secret: str) -> None:
        self._end(secret)

    def sign_out_everywhere(self, principal: Principal, *, but: str = "") -> int:
        """End a user's sessions, except the one of the secret `but`; how many."""
        ended = self._sessions.end_all(principal, but=but)
        self.stays.ask_all()
        return ended

    # Looking

    def has_password(self, name: str = "") -> bool:
        """Whether a user, or without a name the operator, has a password. Raises: NotFound."""
        return self._kernel.passwords.has(self._kernel.users.known(name) if name else self._kernel.operator)

    def last_used(self, token: str) -> int:
        """When a token with this id was last used, in microseconds; 0: not since the server started."""
        return self._used.get(token, 0)

    def sessions(self, principal: Principal) -> int:
        """How many browsers a user is signed in at."""
        return self._sessions.count(principal)

    def _begin(self, principal: Principal, brought: str, way: str, address: str) -> str:
        """Raises: JournalDown: nobody comes in unrecorded."""
        said: JsonObject = {"way": way, "address": address}
        self._kernel.journal.append(Draft(principal, SYSTEM_STREAM, "user.signed_in", said))
        if brought:
            self._sessions.end(brought)
        secret = self._sessions.begin(principal)
        self.stays.ask_all()  # A session more than a user may have ends another.
        return secret

    def _end(self, secret: str) -> None:
        self._sessions.end(secret)
        self.stays.ask_all()

    def _hear(self, entries: Iterable[Entry]) -> None:
        if any(entry.kind in _TAKES for entry in entries):
            self.stays.ask_all()

    def _opens(self, visitor: Visitor) -> bool:
        """Whether what a visitor came in with opens the door now, for who they were then."""
        users, user = self._kernel.users, visitor.user
        if users.role_of(user.principal) != user.role:
            return False
        if visitor.token is not None:
            return users.opens(visitor.token)
        session = self._sessions.peek(visitor.session)
        return session is not None and self._good(session)

    def _good(self, session: WebSession) -> bool:
        """Begun after the password was set, by who is a user now."""
        stale = session.begun_us < self._kernel.passwords.set_us(session.principal)
        return not stale and self._still(session.principal, session.begun_us)

    def _still(self, principal: Principal, since_us: int) -> bool:
        """Whether they are a user now, and the one they were then."""
        users = self._kernel.users
        if not users.role_of(principal):
            return False
        if principal == users.operator:
            return True
        return users.find(principal.removeprefix("user:")).created_us <= since_us

    def _user(self, principal: Principal, scopes: frozenset[str] | None = None) -> User:
        return User(principal, principal.removeprefix("user:"), self._kernel.users.role_of(principal), scopes)


async def open_doors(kernel: Kernel, options: WebOptions) -> Doors:
    """With the sessions of before."""
    return Doors(kernel, options)


def cookie_name(url: str, *, secure: bool) -> str:
    """One a port, since cookies of one machine are shared by its ports; the prefix binds it to https."""
    port = urlsplit(url).port or (443 if secure else 80)
    return f"{'__Host-' if secure else ''}oxios-{port}"
