"""OpenAI's forms, as far as an agent can mean them.

Guarantees: what would change the answer and cannot be done here (a call of the client's tools that is demanded, several
answers, forced formats) is refused, not ignored; what only offers (tools that may be called) or tunes a sampling
(temperature and its kind) is taken, has no effect, and is named in the answer (`oxios.unused`).
A field that OpenAI does not have is refused.

Source: OpenAI API reference, chat completions.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, LiteralString, TypeAlias, cast

from pydantic import ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import PydanticCustomError

from webui.rest.shapes import Asked, Json, Shape

MESSAGES_MAX = 2_000
TEXT_CHARS_MAX = 1_000_000
TOOLS_MAX = 512
ModelName = Annotated[str, Field(min_length=1, max_length=200, examples=["oxios/embedded/planner"])]
Text = Annotated[str, Field(max_length=TEXT_CHARS_MAX)]


class TextPart(Asked):
    type: Literal["text"]
    text: Text


class ImageUrl(Asked):
    url: Annotated[str, Field(max_length=30_000_000, description="A `data:` URL: nothing is fetched.")]
    detail: Literal["auto", "low", "high"] = "auto"


class ImagePart(Asked):
    type: Literal["image_url"]
    image_url: ImageUrl


def _only(why: str) -> WrapValidator:
    """Where a value does not fit, `why` is what is said: what it would mean, and what to do."""

    def check(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise PydanticCustomError("not_meant", cast("LiteralString", why)) from None

    return WrapValidator(check)


_NO_CALLS: Final = _only(
    "an agent has tools of its own, and calls none of its client's; leave this out or say auto, and give it a persona "
    "or an MCP server that has what it needs"
)
_NO_LOGPROBS: Final = _only("an agent's answer has no probabilities; leave this out")
_TEXT_ONLY: Final = _only("an agent answers in text; leave this out, and say in the message what form is wanted")

Part: TypeAlias = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class SystemMessage(Asked):
    role: Literal["system", "developer"]
    content: Text | tuple[TextPart, ...]
    name: Annotated[str, Field(max_length=200)] | None = None


class UserMessage(Asked):
    role: Literal["user"]
    content: Text | Annotated[tuple[Part, ...], Field(min_length=1, max_length=64)]
    name: Annotated[str, Field(max_length=200)] | None = None


class AssistantMessage(Asked):
    """As it was answered; what it holds beside its words is not looked at."""

    role: Literal["assistant"]
    content: Text | tuple[TextPart, ...] | None = None
    name: Annotated[str, Field(max_length=200)] | None = None
    refusal: Text | None = None
    reasoning_content: Text | None = None
    annotations: tuple[Json, ...] | None = None
    audio: None = None
    function_call: Json = None
    tool_calls: Annotated[tuple[Json, ...], Field(max_length=TOOLS_MAX)] | None = Field(
        default=None, description="Of another model: shown to the agent with the rest of the past."
    )


class ToolMessage(Asked):
    """What a tool of the client's told another model."""

    role: Literal["tool", "function"]
    content: Text | tuple[TextPart, ...] | None = None
    tool_call_id: Annotated[str, Field(max_length=200)] | None = None
    name: Annotated[str, Field(max_length=200)] | None = None


Message: TypeAlias = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


class StreamOptions(Asked):
    include_usage: bool = False
    include_obfuscation: bool = False


class TextFormat(Asked):
    type: Literal["text"]


class CompletionIn(Asked):
    """A turn of a session of the token's user.

    `model` is a persona's id or `oxios/PROVIDER/MODEL`: see `GET /v1/models`.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": "oxios/embedded/planner",
                    "messages": [{"role": "user", "content": "List the files here."}],
                }
            ]
        }
    )

    model: ModelName
    messages: tuple[Message, ...] = Field(min_length=1, max_length=MESSAGES_MAX)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Annotated[Literal[1] | None, _only("an agent gives one answer; ask again for another")] = None
    tool_choice: Annotated[Literal["none", "auto"] | None, _NO_CALLS] = None
    function_call: Annotated[Literal["none", "auto"] | None, _NO_CALLS] = None
    response_format: Annotated[TextFormat | None, _TEXT_ONLY] = None
    logprobs: Annotated[Literal[False] | None, _NO_LOGPROBS] = None
    top_logprobs: Annotated[Literal[0] | None, _NO_LOGPROBS] = None
    modalities: Annotated[list[Literal["text"]] | None, _TEXT_ONLY] = None
    audio: Annotated[None, _TEXT_ONLY] = None
    web_search_options: Annotated[None, _only("an agent searches with tools of its own; leave this out")] = None
    # Taken, and without effect: an agent is many requests, each as its persona and settings have it, and what its
    # client could do for it is only offered.
    tools: Annotated[tuple[Json, ...], Field(max_length=TOOLS_MAX)] | None = None
    functions: Annotated[tuple[Json, ...], Field(max_length=TOOLS_MAX)] | None = None
    prediction: Json = None
    prompt_cache_retention: Annotated[str, Field(max_length=20)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: Annotated[str, Field(max_length=1_000)] | Annotated[tuple[str, ...], Field(max_length=4)] | None = None
    seed: int | None = None
    user: Annotated[str, Field(max_length=512)] | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    logit_bias: dict[str, float] | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Annotated[str, Field(max_length=20)] | None = None
    verbosity: Annotated[str, Field(max_length=20)] | None = None
    service_tier: Annotated[str, Field(max_length=20)] | None = None
    prompt_cache_key: Annotated[str, Field(max_length=512)] | None = None
    safety_identifier: Annotated[str, Field(max_length=512)] | None = None

    @property
    def unused(self) -> list[str]:
        """Fields that say something, and have no effect."""
        return sorted(name for name in self.model_fields_set - _USED if getattr(self, name))


_USED: Final = frozenset(
    {
        *("model", "messages", "stream", "stream_options", "n"),
        *("tool_choice", "function_call", "response_format", "modalities"),
    }
)


class Usage(Shape):
    """Of all requests of the turn, its phases and runs together, as the providers reported them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(Shape):
    role: Literal["assistant"] = "assistant"
    content: str
    reasoning_content: str | None = Field(default=None, description="What the agent did and said on its way.")
    refusal: None = None


class Choice(Shape):
    index: Literal[0] = 0
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class Behind(Shape):
    """An extension: where the turn stands on record."""

    session: str
    turn: int
    status: str
    runs: list[str]
    unused: list[str] = Field(description="Fields of the request that had no effect.")


class CompletionOut(Shape):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    oxios: Behind


class ModelOut(Shape):
    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelsOut(Shape):
    object: Literal["list"] = "list"
    data: list[ModelOut]
