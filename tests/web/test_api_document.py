"""The API's document is true: whatever fits it or not is answered as it says, and never by a server error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import jsonschema_rs
import pytest
import schemathesis
from anyio import to_thread
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup

from tests.web.api_world import Api, open_api, serve_api
from webui.rest import events

pytestmark = pytest.mark.anyio
PLANNER: Final = {"model.default": "embedded/planner"}
FITTING: Final = 4
WRONG: Final = 3
_GENERAL: Final[Any] = import_module("schemathesis.checks")
_OF_OPENAPI: Final[Any] = import_module("schemathesis.specs.openapi.checks")
CHECKS: Final = [
    _GENERAL.not_a_server_error,
    _OF_OPENAPI.status_code_conformance,
    _OF_OPENAPI.content_type_conformance,
    _OF_OPENAPI.response_schema_conformance,
    _OF_OPENAPI.response_headers_conformance,
]
METHODS: Final = frozenset({"get", "post", "put", "patch", "delete"})
SPARED: Final = frozenset({"capabilities_revoke", "capabilities_delete", "tokens_revoke"})
"""With real ids they would take from the test what it calls with."""


async def document(api: Api) -> dict[str, Any]:
    async with await api.program() as client:
        answer = await client.get("/api/schema/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def operations(told: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in told["paths"].items():
        for method in METHODS & set(item):
            yield path, method, item[method]


async def test_every_operation_is_answered_as_its_document_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded examples of each operation, fitting and not, over real HTTP with real ids among them."""
    monkeypatch.setattr(events, "STREAM_S", 0.05)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a.txt").write_text("one\ntwo\n")
    async with serve_api(tmp_path, settings=PLANNER) as api:
        ids = await _real_ids(api)
        told, token = await document(api), await api.token()
        wrong = await to_thread.run_sync(_try_all, told, api.url, token, ids)
    assert not wrong, "\n".join(wrong)


async def test_the_document_names_every_operation_with_examples_and_refusals(tmp_path: Path) -> None:
    """Ids are unique, each has words and a tag that is described; bodies have examples, and these fit."""
    async with open_api(tmp_path) as api:
        told = await document(api)
    assert told["openapi"].startswith("3.1")
    schemas = {"components": told["components"]}
    listed = list(operations(told))
    assert len(listed) > 70
    assert len({one["operationId"] for _, _, one in listed}) == len(listed)
    tags = {tag["name"] for tag in told["tags"]}
    for path, _, one in listed:
        assert one["summary"], path
        assert set(one["tags"]) <= tags, path
        assert {"400", "401", "403", "500", "503"} <= set(one["responses"]), path
        assert ("404" in one["responses"]) or "{" not in path, path
        assert one["security"][0]["token"][0] in {"read", "run", "approve", "admin"}
        body = one.get("requestBody", {}).get("content", {}).get("application/json")
        if body is not None:
            schema = told["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
            assert schema["additionalProperties"] is False, path
            for example in schema["examples"]:
                jsonschema_rs.validate({**schemas, **body["schema"]}, example)


async def test_the_document_is_for_who_signed_in_and_no_page_of_it_is_served(tmp_path: Path) -> None:
    """Litestar's own pages, which load scripts from elsewhere, are not there."""
    async with open_api(tmp_path) as api, await api.program() as client:
        for name in ("", "/", "/swagger", "/redoc", "/elements", "/rapidoc", "/scalar", "/openapi.yaml"):
            assert (await client.get(f"/api/schema{name}")).status_code == 404, name
        del client.headers["authorization"]
        answer = await client.get("/api/schema/openapi.json")
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"


async def _real_ids(api: Api) -> dict[str, str]:
    """Things that there are, for paths to name."""
    async with await api.program() as client:
        seed = (await client.post("/api/seeds", json={"spec": {"goal": "list the files"}})).json()
        session = (await client.post("/api/sessions", json={"name": "one", "text": "list the files"})).json()["session"]
        await api.kernel.runs.wait(seed["run"])
        await _settled(client, session)
        run = (await client.get(f"/api/runs/{seed['run']}")).json()
        capability = (await client.get("/api/capabilities")).json()["items"][0]["id"]
        await client.post("/api/users", json={"name": "ada"})
    call = run["steps"][0]["call"] if run["steps"] else "r.1"
    return {
        "run": seed["run"],
        "other": seed["run"],
        "call": call,
        "seed": seed["seed"],
        "session": session,
        "capability": capability,
        "name": "ada",
        "persona": "writer",
        "seq": "3",
        "number": "1",
    }


async def _settled(client: httpx.AsyncClient, session: str) -> None:
    """The session's turn has ended, or waits for somebody."""
    with anyio.fail_after(30):
        while True:
            state = (await client.get(f"/api/sessions/{session}")).json()
            if state["draft"]:
                await client.post(f"/api/sessions/{session}/draft", json={"accept": True})
            if not state["busy"]:
                return
            await anyio.sleep(0.02)


def _try_all(told: dict[str, Any], url: str, token: str, ids: dict[str, str]) -> list[str]:
    schema: Any = schemathesis.openapi.from_dict(told)
    wrong: list[str] = []
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode, most in ((GenerationMode.POSITIVE, FITTING), (GenerationMode.NEGATIVE, WRONG)):
            cases = operation.as_strategy(generation_mode=mode)
            real = {} if mode is GenerationMode.NEGATIVE or operation.definition.raw["operationId"] in SPARED else ids
            how = {"base_url": url, "headers": {"Authorization": f"Bearer {token}"}}
            wrong += _try_one(cases, _fits(told, operation.definition.raw), how, most, real)
    return wrong


def _fits(told: dict[str, Any], operation: dict[str, Any]) -> Callable[[Any], bool]:
    """Whether a body is what the document asks for: a mutation may still have left it so."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return lambda _body: True
    schema = {"components": told["components"], **content["schema"]}
    return lambda body: jsonschema_rs.is_valid(schema, body)


def _try_one(cases: Any, fits: Callable[[Any], bool], how: dict[str, Any], most: int, ids: dict[str, str]) -> list[str]:
    """What is wrong with the answers to `most` of the cases; half of them name things of `ids`."""
    wrong: list[str] = []

    @settings(
        max_examples=most,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(case=cases, real=st.booleans())
    def attempt(case: Any, real: bool) -> None:
        if real and case.path_parameters:
            case.path_parameters.update({name: ids[name] for name in case.path_parameters if name in ids})
        try:
            answer = case.call_and_validate(**how, timeout=20, checks=CHECKS)
            if answer.status_code < 400 and not fits(case.body):
                wrong.append(f"{case.operation.label}: took {case.body!r}, which its schema refuses")
        except FailureGroup as failed:
            wrong.append(f"{case.operation.label}: " + "; ".join(str(one) for one in failed.exceptions))

    attempt()
    return wrong
