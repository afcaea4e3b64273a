"""What pages show and do, the API does: passwords, questions of agents, figures over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from kernel.testing.provider import call, say
from tests.web.api_world import open_api

pytestmark = pytest.mark.anyio
PASSWORD = "correct horse battery"
PLANNER = {"model.default": "embedded/planner"}


async def test_whatever_can_be_read_without_naming_something_is_read(tmp_path: Path) -> None:
    """Every GET of the document whose path and query need nothing, after a run, a user and a token."""
    async with open_api(tmp_path, [say("done")]) as api, await api.program() as client:
        await client.post("/api/users", json={"name": "ada"})
        run = (await client.post("/api/runs", json={"goal": "say done"})).json()["run"]
        await api.kernel.runs.wait(run)
        told = (await client.get("/api/schema/openapi.json")).json()
        bare = [
            path
            for path, item in told["paths"].items()
            if "get" in item and "{" not in path and not any(one["required"] for one in _parameters(item["get"]))
        ]
        assert len(bare) > 20
        for path in bare:
            if path != "/api/events":
                answer = await client.get(path)
                assert answer.status_code == 200, (path, answer.text)


async def test_a_password_is_set_by_who_knows_the_present_one_and_taken_by_who_administers(tmp_path: Path) -> None:
    """As on the pages: sessions end, tokens stay; a read token and another user may not."""
    async with open_api(tmp_path) as api, await api.program() as admin, await api.person("ada") as ada:
        doors = api.house.doors
        secret = doors.by_link(doors.issue_link("ada").partition("#")[2], "192.0.2.1")
        assert (await ada.put("/api/me/password", json={"new": "short"})).status_code == 400
        assert (await ada.put("/api/me/password", json={"new": PASSWORD})).status_code == 200
        assert doors.by_session(secret) is None
        assert doors.has_password("ada")
        wrong = await ada.put("/api/me/password", json={"current": "not this one", "new": PASSWORD + "s"})
        assert wrong.status_code == 403
        right = await ada.put("/api/me/password", json={"current": PASSWORD, "new": PASSWORD + "s"})
        assert right.status_code == 200, right.text
        assert (await ada.delete("/api/users/ada/password")).status_code == 403
        async with await api.program("ada", "read") as reader:
            assert (await reader.put("/api/me/password", json={"new": PASSWORD})).status_code == 403
        assert (await admin.delete("/api/users/ada/password")).status_code == 200
        assert not doors.has_password("ada")
        assert (await admin.delete("/api/users/ada/password")).status_code == 404
        assert PASSWORD not in str([entry.json() for entry in await api.kernel.journal.read(limit=500)])


async def test_a_question_of_a_run_is_seen_and_answered_by_its_owner(tmp_path: Path) -> None:
    """It stands in the run while it waits; another user does not find it, a viewer may not answer."""
    script = [call("ask_user", question="Which one?", choices=["a", "b"]), say("done")]
    async with (
        open_api(tmp_path, script) as api,
        await api.program() as client,
        await api.person("bob") as bob,
        await api.person("vera", "viewer") as vera,
    ):
        asked = anyio.Event()
        api.house.asker.subscribe(lambda _run: asked.set())
        run = (await client.post("/api/runs", json={"goal": "ask me"})).json()["run"]
        with anyio.fail_after(20):
            await asked.wait()
        seen = (await client.get(f"/api/runs/{run}")).json()
        assert seen["asks"] == {"question": "Which one?", "choices": ["a", "b"]}
        answer = {"text": "b"}
        assert (await bob.post(f"/api/runs/{run}/answer", json=answer)).status_code == 404
        assert (await vera.post(f"/api/runs/{run}/answer", json=answer)).status_code == 403
        assert (await client.post(f"/api/runs/{run}/answer", json=answer)).status_code == 200
        with anyio.fail_after(20):
            await api.kernel.runs.wait(run)
        ended = (await client.get(f"/api/runs/{run}")).json()
        assert (ended["status"], ended["asks"]) == ("finished", None)
        assert "b" in ended["steps"][0]["text"]
        assert (await client.post(f"/api/runs/{run}/answer", json=answer)).status_code == 404


async def test_figures_over_time_are_those_of_the_page(tmp_path: Path) -> None:
    """Each series is as long as the times; for who sees everything alone."""
    async with open_api(tmp_path, [say("done")]) as api, await api.program() as client, await api.person("ada") as ada:
        run = (await client.post("/api/runs", json={"goal": "say done"})).json()["run"]
        await api.kernel.runs.wait(run)
        api.house.samples.take()
        told = (await client.get("/api/metrics/charts")).json()
        assert {one["id"] for one in told["charts"]} == {one.id for one in api.house.samples.charts()}
        lengths = {len(series["values"]) for chart in told["charts"] for series in chart["series"]}
        assert lengths == {len(told["times_us"])}
        ended = next(chart for chart in told["charts"] if chart["id"] == "ended")
        assert ended["series"][0]["values"][-1] == 1.0
        assert (await ada.get("/api/metrics/charts")).status_code == 403


def _parameters(operation: dict[str, Any]) -> list[dict[str, Any]]:
    return operation.get("parameters", [])


async def test_the_server_takes_the_form_of_each_example_that_the_document_gives(tmp_path: Path) -> None:
    """What it says may not be there; but it is never said to be of a wrong form, and nothing breaks."""
    async with open_api(tmp_path, settings=PLANNER) as api, await api.program() as client:
        told = (await client.get("/api/schema/openapi.json")).json()
        schemas = told["components"]["schemas"]
        tried = 0
        for path, item in told["paths"].items():
            for method in {"post", "put", "patch"} & set(item):
                content = item[method].get("requestBody", {}).get("content", {}).get("application/json")
                if content is not None and not path.startswith("/v1/"):
                    for example in schemas[content["schema"]["$ref"].rpartition("/")[2]]["examples"]:
                        answer = await client.request(method, path.replace("{number}", "1"), json=example)
                        assert answer.status_code not in {400, 415, 500}, (path, answer.text)
                        tried += 1
        assert tried > 20


async def test_a_seed_with_everything_is_submitted(tmp_path: Path) -> None:
    """All that its document names, an amount of dollars too."""
    spec = {
        "goal": "write a haiku",
        "constraints": ["no rhymes"],
        "criteria": ["file haiku.txt exists", "it is about rain"],
        "ontology": [{"name": "haiku", "type": "poem"}],
        "cspace_hint": "worker",
        "budget": {"usd": 0.25, "seconds": 60},
    }
    async with open_api(tmp_path, [say("done")] * 9) as api, await api.program() as client:
        answer = await client.post("/api/seeds", json={"spec": {**spec, "mounts": [{"path": str(api.workspace)}]}})
        assert answer.status_code == 201, answer.text
        seed = (await client.get(f"/api/seeds/{answer.json()['seed']}")).json()
        assert len(seed["spec"]["criteria"]) == 2
        assert seed["spec"]["budget"]["micro_usd"] == 250_000
