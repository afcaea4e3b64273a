"""Every other vendor, through pydantic-ai's model classes (the extra `vendors`).

Guarantees: the same port, deadlines and typed errors as our own clients; pydantic-ai is imported when
it is first asked. A model's name is pydantic-ai's own, such as `google:gemini-2.5-pro`, so a run
asks `NAME/google:gemini-2.5-pro`; the vendor's SDK must be installed beside it. The key is the
provider's where one is named, else whatever the vendor's SDK finds.
Does not guarantee the speed of our own clients, nor that nothing but `base_url` is reached: which
host is asked, the model's name and the SDK decide. Source: RFC-0012.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import anyio

from kernel.adapters.providers.client import key_of
from kernel.errors import DeadlinePassed, Invalid
from kernel.ports.provider import ModelEvent, ModelRequest, Provider, ProviderConfig, TimedOut

if TYPE_CHECKING:
    from pydantic_ai.models import Model

KIND: Final = "vendor"
ModelMaker: TypeAlias = "Callable[[str, str], Model]"
"""A model by pydantic-ai's name of it and a key, or "" for the SDK's own."""
ANYWHERE: Final = "*:443"
_CLOSE_S: Final = 2.0

T = TypeVar("T")


def make(config: ProviderConfig) -> Provider:
    """Raises: Invalid, where an address is given: the model's name says who is asked."""
    if config.base_url:
        raise Invalid(
            f"providers.{config.name}.base_url is set, and a provider of kind vendor takes no address",
            remedy=f"oxios config unset providers.{config.name}.base_url, or use kind openai or anthropic",
        )
    return VendorProvider(config, os.environ)


class VendorProvider:
    """All the models that pydantic-ai knows. `make_model` is what makes one."""

    def __init__(
        self, config: ProviderConfig, environ: Mapping[str, str], make_model: ModelMaker | None = None
    ) -> None:
        self._config = config
        self._environ = environ
        self._make_model = make_model
        self._models: dict[tuple[str, str], Model] = {}

    @property
    def name(self) -> str:
        return self._config.name

    @property
    def endpoint(self) -> str:
        """Any host: which one, is not known before a model is named."""
        return ANYWHERE

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """Raises: ProviderDown, Invalid and their kinds; DeadlinePassed after `request.deadline_s`."""
        try:
            from kernel.adapters.providers.vendors.exchange import exchange  # noqa: PLC0415 -- an extra, and 0.5 s
        except ImportError as error:
            raise Invalid(
                f"{self.name} is of kind vendor, and {error.name} is not installed",
                remedy="pip install 'oxios[vendors]'",
            ) from error
        clock = _Clock(self._config, request)
        events = exchange(self._config.name, self._model(request), request)
        try:
            while True:
                try:
                    event = await clock.wait(anext(events))
                except StopAsyncIteration:
                    return
                yield event
        finally:
            await _close(events)

    async def aclose(self) -> None:
        self._models.clear()

    def _model(self, request: ModelRequest) -> Model:
        """Raises: Invalid, where pydantic-ai knows none of that name or its SDK is missing."""
        name = request.model or self._config.model
        key = key_of(self._config, self._environ, request.key)
        model = self._models.get((name, key))
        if model is None:
            from kernel.adapters.providers.vendors.exchange import model_of  # noqa: PLC0415 -- as above

            model = self._models[name, key] = (self._make_model or model_of)(name, key)
        return model


class _Clock:
    """The waits of one request."""

    def __init__(self, config: ProviderConfig, request: ModelRequest) -> None:
        self._config = config
        self._deadline_s = request.deadline_s
        self._ends_at = anyio.current_time() + request.deadline_s
        self._wait_s = config.waits.first_byte_s

    async def wait(self, coming: Awaitable[T]) -> T:
        """Raises: TimedOut, DeadlinePassed."""
        limit_s = max(0.0, min(self._wait_s, self._ends_at - anyio.current_time()))
        try:
            with anyio.fail_after(limit_s):
                found = await coming
        except TimeoutError as error:
            name = self._config.name
            if anyio.current_time() >= self._ends_at:
                said = f"{name} did not finish within {self._deadline_s:g} s"
                raise DeadlinePassed(said, remedy="allow the model more time, or ask it for less") from error
            remedy = f"try again; a slow model wants longer waits: see providers.{name}.idle_s"
            raise TimedOut(f"{name} was silent for {limit_s:g} s", remedy=remedy, kind="timeout") from error
        self._wait_s = self._config.waits.idle_s
        return found


async def _close(events: AsyncGenerator[ModelEvent]) -> None:
    """End the request, within a bound even where this very task is being cancelled."""
    with anyio.move_on_after(_CLOSE_S, shield=True):
        await events.aclose()
