"""The Seed: an immutable specification of one piece of work, with its lineage.

Guarantees: a Seed that exists is whole. Every field was checked, unknown fields were refused, its
texts can be stored as UTF-8 and its numbers exactly; `canonical` of equal Seeds is equal. A later
version is a new Seed (`evolved`), never a change of this one.
What this does not do: read files (`ouroboros.seedfile`), look at directories
(`ouroboros.workspace`) or judge whether the goal makes sense.

Source: RFC-0009.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, cast

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StrictInt, StrictStr, field_validator, model_validator

from kernel.directive import Budget, Directive, Entity
from kernel.errors import Invalid
from kernel.ids import Digest, SeedId, new_id
from kernel.jsontypes import JsonObject
from kernel.limits import ATTACHMENTS_MAX
from ouroboros.criteria import canonical_text, parse_criterion

GOAL_CHARS_MAX: Final = 16 * 1024
LIST_ITEMS_MAX: Final = 200
MOUNTS_MAX: Final = 16
AMOUNT_MAX: Final = 10**15
SECONDS_MAX: Final = 86_400 * 30
NAME_CHARS_MAX: Final = 200
MICRO: Final = 1_000_000

Text = Annotated[StrictStr, Field(min_length=1, max_length=GOAL_CHARS_MAX)]
Name = Annotated[StrictStr, Field(max_length=NAME_CHARS_MAX)]
Amount = Annotated[StrictInt, Field(gt=0, le=AMOUNT_MAX)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OntologyEntity(_Part):
    """One thing of the goal's domain; `type` is accepted for `entity_type`."""

    name: Text
    entity_type: Text = Field(validation_alias=AliasChoices("entity_type", "type"))
    description: Annotated[StrictStr, Field(max_length=GOAL_CHARS_MAX)] = ""


class SeedMount(_Part):
    """A directory as the author wrote it; `ouroboros.workspace` makes it real."""

    path: Text
    mode: Literal["ro", "rw"] = "rw"


class SeedBudget(_Part):
    """What one run may spend; absent is unbounded. `usd` is turned into `micro_usd`."""

    tokens: Amount | None = None
    calls: Amount | None = None
    micro_usd: Amount | None = None
    seconds: Annotated[float, Field(gt=0, le=SECONDS_MAX)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_usd(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "usd" not in data:
            return cast("object", data)
        rest = dict(cast("dict[str, object]", data))
        usd = rest.pop("usd")
        if "micro_usd" in rest:
            raise ValueError("give usd or micro_usd, not both")
        if isinstance(usd, bool) or not isinstance(usd, int | float):
            raise ValueError("usd must be a number of dollars, such as 0.25")  # noqa: TRY004 -- pydantic collects ValueErrors
        # Through the shortest decimal text: 0.29 dollars are 290000 micro-dollars, not 289999.
        micro = Decimal(str(usd)) * MICRO
        if not micro.is_finite() or micro != int(micro):
            raise ValueError("usd must be finite and of at most six decimals")
        rest["micro_usd"] = int(micro)
        return rest

    @field_validator("seconds", mode="before")
    @classmethod
    def _number(cls, value: object) -> object:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError("seconds must be a number, such as 90 or 1.5")
        return value

    def kernel(self) -> Budget:
        return Budget(self.tokens, self.calls, self.micro_usd, self.seconds)


class SeedSpec(_Part):
    """What an author writes: a Seed without identity and lineage."""

    goal: Text
    constraints: Annotated[tuple[Text, ...], Field(max_length=LIST_ITEMS_MAX)] = ()
    criteria: Annotated[tuple[Text, ...], Field(max_length=LIST_ITEMS_MAX)] = ()
    ontology: Annotated[tuple[OntologyEntity, ...], Field(max_length=LIST_ITEMS_MAX)] = ()
    output_schema: dict[str, Any] | None = None
    mounts: Annotated[tuple[SeedMount, ...], Field(max_length=MOUNTS_MAX)] = ()
    attachments: Annotated[tuple[Text, ...], Field(max_length=ATTACHMENTS_MAX)] = ()
    """Files beneath the seed's directory that the agent is shown with the goal."""
    cspace_hint: Name | tuple[Text, ...] = ""
    budget: SeedBudget = SeedBudget()
    model: Name = ""
    persona: Name = ""
    original_request: Annotated[StrictStr, Field(max_length=GOAL_CHARS_MAX)] = ""

    @field_validator("mounts", mode="before")
    @classmethod
    def _plain_mounts(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        items = cast("list[object]", value)
        return tuple({"path": item} if isinstance(item, str) else item for item in items)

    @field_validator("criteria", mode="before")
    @classmethod
    def _criteria_as_text(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        try:
            return tuple(canonical_text(item) for item in cast("list[object]", value))
        except Invalid as error:
            raise ValueError(error.explain()) from error

    @field_validator("goal")
    @classmethod
    def _goal_says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("the goal must say what is to be done")
        return value

    @field_validator("output_schema")
    @classmethod
    def _schema_is_a_schema(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None:
            from ouroboros.schema import check_schema  # noqa: PLC0415 -- only a seed that has one pays for it

            try:
                check_schema(value)
            except Invalid as error:
                raise ValueError(error.explain()) from error
        return value

    @model_validator(mode="after")
    def _schema_criterion_has_a_schema(self) -> SeedSpec:
        if self.output_schema is None and any(parse_criterion(text).kind == "schema" for text in self.criteria):
            raise ValueError("a criterion asks for the output schema, but there is no output_schema")
        return self


class Seed(SeedSpec):
    """A SeedSpec with identity and lineage."""

    id: StrictStr
    generation: Annotated[StrictInt, Field(ge=0)] = 0
    parent: StrictStr | None = None
    created_us: Annotated[StrictInt, Field(ge=0)]

    @classmethod
    def new(cls, spec: SeedSpec, now_us: int) -> Seed:
        """The first generation of a lineage."""
        data = spec.model_dump()
        data["original_request"] = spec.original_request or spec.goal
        return cls(**data, id=new_id("s", now_us), created_us=now_us)

    def evolved(self, now_us: int, **changes: object) -> Seed:
        """A child: all copied but `changes`; new id, generation + 1, this one as parent."""
        data = {**self.model_dump(), **changes}
        data.update(id=new_id("s", now_us), created_us=now_us, generation=self.generation + 1, parent=self.id)
        return Seed.model_validate(data)

    @property
    def seed_id(self) -> SeedId:
        return SeedId(self.id)

    def payload(self) -> JsonObject:
        """The whole Seed as JSON: what `seed.created` holds; `Seed.model_validate` reads it back."""
        return cast("JsonObject", self.model_dump(mode="json"))

    def canonical(self) -> bytes:
        """Sorted, compact JSON of what was specified, identity and time left out."""
        dumped = self.model_dump(mode="json", exclude={"id", "created_us"})
        if not self.attachments:  # A Seed written before there were any keeps its digest.
            del dumped["attachments"]
        return json.dumps(dumped, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def digest(self) -> Digest:
        return Digest(hashlib.sha256(self.canonical()).hexdigest())

    def hint(self) -> str:
        """The hint as the kernel takes it: a grant's name, or one `RESOURCE RIGHTS` a line."""
        return self.cspace_hint if isinstance(self.cspace_hint, str) else "\n".join(self.cspace_hint)

    def directive(self) -> Directive:
        return Directive(
            goal=self.goal,
            original_request=self.original_request,
            constraints=self.constraints,
            criteria=self.criteria,
            entities=tuple(Entity(item.name, item.entity_type, item.description) for item in self.ontology),
            output_schema=self.output_schema,
        )
