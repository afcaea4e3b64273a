"""The API as programs use it: paging, keys, tags, roles, scopes; what pages do, as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from kernel.ids import user
from kernel.testing.clock import FakeClock
from kernel.testing.provider import call, say
from tests.cycle_world import SUBSTANTIAL, told
from tests.web.api_world import Api, open_api
from webui.rest import once
from webui.rest.once import Once

pytestmark = pytest.mark.anyio


async def test_lists_are_paged_by_cursor_without_gap_or_repetition(tmp_path: Path) -> None:
    """Whatever is added meanwhile; a cursor of another list, or none of ours, is refused."""
    async with open_api(tmp_path, [say("done")] * 12) as api, await api.program() as client:
        made = [await _run(api, client) for _ in range(7)]
        seen: list[str] = []
        cursor = ""
        while True:
            page = (await client.get("/api/runs", params={"limit": 3, "cursor": cursor})).json()
            seen += [row["id"] for row in page["items"]]
            await _run(api, client)
            cursor = page["next"]
            if not cursor:
                break
        assert seen == made[::-1]
        entries = await _all(client, f"/api/runs/{made[0]}/entries", limit=2)
        assert [one["seq"] for one in entries] == sorted({one["seq"] for one in entries})
        assert entries[0]["kind"] == "run.started"
        assert entries[-1]["kind"] == "run.finished"
        assert (await client.get("/api/runs", params={"cursor": "bm9uZQ"})).status_code == 422
        assert (await client.get("/api/runs", params={"limit": 201})).status_code == 400
        wrong = await client.get("/api/runs", params={"limits": 1})
        assert wrong.json()["errors"][0]["where"] == "query.limits"


async def test_the_journal_is_paged_backwards_to_its_beginning(tmp_path: Path) -> None:
    """Each entry once, the newest first; a user without the right sees the streams of their own."""
    async with open_api(tmp_path, [say("done")]) as api, await api.program() as client:
        await _run(api, client)
        await api.kernel.journal.flush()
        size = api.kernel.journal.size
        entries = [one for one in await _all(client, "/api/audit", limit=5) if one["seq"] <= size]
        assert [one["seq"] for one in entries] == list(range(size, 0, -1))
        async with await api.person("ada") as ada:
            assert await _all(ada, "/api/audit", limit=5) == []
            assert (await ada.get(f"/api/audit/{size}")).status_code == 404


async def test_a_key_makes_a_request_be_done_once(tmp_path: Path) -> None:
    """The same request gets the same answer, at once too; another one with the key is refused; users do not share."""
    async with open_api(tmp_path, [say("done")] * 3) as api, await api.program() as client:
        answers: list[httpx.Response] = []

        async def start() -> None:
            answers.append(await client.post("/api/runs", json={"goal": "x"}, headers={"Idempotency-Key": "k"}))

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(start)
        assert {one.status_code for one in answers} == {201}
        assert len({one.json()["run"] for one in answers}) == 1
        assert sorted(one.headers.get("idempotency-replayed", "") for one in answers) == ["", "true", "true", "true"]
        assert all(one.headers["location"] == f"/api/runs/{one.json()['run']}" for one in answers)
        assert len((await client.get("/api/runs")).json()["items"]) == 1
        other = await client.post("/api/runs", json={"goal": "y"}, headers={"Idempotency-Key": "k"})
        assert other.status_code == 422
        async with await api.person("ada") as ada:
            assert (
                await ada.post("/api/runs", json={"goal": "x"}, headers={"Idempotency-Key": "k"})
            ).status_code == 201


async def test_a_key_of_what_failed_may_be_used_again_and_keys_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what was done is kept; beyond the bound new keys are refused and old ones still known."""
    async with open_api(tmp_path, [say("done")] * 2) as api, await api.program() as client:
        keyed = {"Idempotency-Key": "k"}
        assert (
            await client.post("/api/runs", json={"goal": "x", "model": "no/such"}, headers=keyed)
        ).status_code == 404
        assert (await client.post("/api/runs", json={"goal": "x"}, headers=keyed)).status_code == 201
        monkeypatch.setattr(once, "KEYS_MAX", 1)
        more = await client.post("/api/runs", json={"goal": "x"}, headers={"Idempotency-Key": "l"})
        assert more.status_code == 429
        again = await client.post("/api/runs", json={"goal": "x"}, headers=keyed)
        assert again.headers["idempotency-replayed"] == "true"


async def test_keys_are_forgotten_after_a_day_and_not_before() -> None:
    """By the clock: at KEPT_S a key is free again."""
    clock = FakeClock()
    keys = Once(clock)
    for later_s, free in ((0.0, True), (once.KEPT_S - 1.0, False), (2.0, True)):
        clock.advance(later_s)
        async with keys.turn(user("a"), "k", "request") as slot:
            assert (slot.answer is None) is free
            if slot.answer is None:
                keys.keep(slot, once.Kept(201, b"{}", ()))


async def test_an_edit_of_what_changed_meanwhile_is_refused(tmp_path: Path) -> None:
    """Sessions, personas and settings have tags; `If-Match` of an older one is 412 and changes nothing."""
    async with open_api(tmp_path) as api, await api.program() as client:
        session = (await client.post("/api/sessions", json={"name": "one"})).json()["session"]
        poet = {"name": "Poet", "role": "writer", "description": "Verse.", "system_prompt": "Answer in verse."}
        new = await client.put("/api/personas/poet", json=poet, headers={"If-None-Match": "*"})
        assert new.status_code == 200, new.text
        edits: list[tuple[str, str, dict[str, Any], str]] = [
            (f"/api/sessions/{session}", "PATCH", {"name": "two"}, f"/api/sessions/{session}"),
            ("/api/personas/poet", "PUT", {**poet, "name": "Bard"}, "/api/personas/poet"),
            ("/api/settings", "PATCH", {"changes": {"cycle.generations_max": "1"}}, "/api/settings"),
        ]
        for path, method, body, shown in edits:
            tag = (await client.get(shown)).headers["etag"]
            first = await client.request(method, path, json=body, headers={"If-Match": tag})
            assert first.status_code == 200, first.text
            assert first.headers["etag"] != tag
            later = await client.request(method, path, json=body, headers={"If-Match": tag})
            assert later.status_code == 412, later.text
            assert (await client.get(shown)).headers["etag"] == first.headers["etag"]
        there = await client.put("/api/personas/poet", json=poet, headers={"If-None-Match": "*"})
        assert there.status_code == 412


async def test_of_edits_that_name_the_same_version_one_is_made(tmp_path: Path) -> None:
    """At the same moment, of a session, a persona and the settings: the others are 412."""
    async with open_api(tmp_path) as api, await api.program() as client:
        session = (await client.post("/api/sessions", json={"name": "one"})).json()["session"]
        poet = {"name": "Poet", "role": "writer", "description": "Verse.", "system_prompt": "Answer in verse."}
        await client.put("/api/personas/poet", json=poet)
        edits: list[tuple[str, str, Callable[[int], dict[str, Any]]]] = [
            (f"/api/sessions/{session}", "PATCH", lambda one: {"name": f"name {one}"}),
            ("/api/personas/poet", "PUT", lambda one: {**poet, "name": f"Poet {one}"}),
            ("/api/settings", "PATCH", lambda one: {"changes": {"run.turns_max": str(one + 10)}}),
        ]
        for path, method, body in edits:
            match = {"If-Match": (await client.get(path)).headers["etag"]}
            got = await _at_once([client.request(method, path, json=body(one), headers=match) for one in range(4)])
            assert sorted(got) == [200, 412, 412, 412], path


async def test_an_edit_of_a_session_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    """Where one of its parts is refused, the others were not recorded."""
    async with open_api(tmp_path) as api, await api.program() as client:
        path = "/api/sessions/" + (await client.post("/api/sessions", json={"name": "one"})).json()["session"]
        before = (await client.get(path)).json()
        for wrong in ({"name": " two "}, {"persona": "nobody"}, {"model": "none/such"}):
            edit = {"model": "scripted/model", "approve": "auto", "pinned": True, "archived": True, **wrong}
            assert (await client.patch(path, json=edit)).status_code in {404, 422}
            assert (await client.get(path)).json() == before


async def test_roles_and_scopes_bound_what_a_token_does(tmp_path: Path) -> None:
    """A viewer sees and does nothing; another's run is not found; a token without the scope is refused."""
    async with open_api(tmp_path, [say("done")]) as api, await api.program() as client:
        run = await _run(api, client)
        async with await api.person("vera", "viewer") as vera, await api.person("ada") as ada:
            assert (await vera.get(f"/api/runs/{run}")).status_code == 200
            assert (await vera.post("/api/runs", json={"goal": "x"})).status_code in {403, 404}
            assert (await vera.post(f"/api/runs/{run}/fork", json={})).status_code == 403
            assert (await ada.get(f"/api/runs/{run}")).status_code == 404
            for path in ("entries", "export", "events", "calls/x/output", "steps/1"):
                assert (await ada.get(f"/api/runs/{run}/{path}")).status_code == 404, path
            assert (await ada.get("/api/users")).status_code == 403
            assert (await ada.get("/api/metrics")).status_code == 403
            assert (await ada.get("/api/settings")).status_code == 403
            assert (await ada.post("/api/audit/verify")).status_code == 404
        async with await api.program("tester", "read") as reader:
            assert (await reader.get("/api/runs")).status_code == 200
            refused = await reader.post("/api/runs", json={"goal": "x"})
            assert refused.status_code == 403
            assert "scope run" in refused.text


async def test_a_session_by_http_is_the_one_of_the_pages(tmp_path: Path) -> None:
    """Made, talked in, drafted, accepted with a change, listed, found, forked, put away and taken back."""
    draft = {"goal": "write a.txt", "criteria": ["file a.txt exists"]}
    script = [
        told(SUBSTANTIAL), told(draft), call("write", path="a.txt", content="hi"), say("written"),
        told({"reply": "hello"} | {"kind": "conversation"}),
    ]  # fmt: skip
    async with open_api(tmp_path, script) as api, await api.program() as client:
        made = await client.post("/api/sessions", json={"name": "work", "text": "write a file"})
        session = made.json()["session"]
        path = f"/api/sessions/{session}"
        state = await _until(client, path, lambda one: one["draft"] is not None)
        assert state["draft"]["goal"] == "write a.txt"
        accepted = await client.post(f"{path}/draft", json={"accept": True, "goal": "write a.txt now"})
        assert accepted.status_code == 200, accepted.text
        state = await _until(client, path, lambda one: not one["busy"])
        turn = state["turns"][0]
        assert turn["status"] == "done", turn
        assert turn["generations"][0]["passed"] is True
        seed = (await client.get(f"/api/seeds/{turn['generations'][0]['seed']}")).json()
        assert seed["spec"]["goal"] == "write a.txt now"
        verdict = (await client.get(f"/api/seeds/{seed['id']}/verdict")).json()
        assert verdict["run"] == turn["generations"][0]["run"]
        said = [one["kind"] for one in await _all(client, f"{path}/messages", limit=1)]
        assert said[0] == "goal"
        assert said[-1] == "reply"
        key = {"text": "hello?", "key": "m1"}
        assert (await client.post(f"{path}/messages", json=key)).json()["became"] == "begun"
        assert (await client.post(f"{path}/messages", json=key)).json()["became"] == "known"
        await _until(client, path, lambda one: not one["busy"])
        found = (await client.get("/api/sessions", params={"q": "write"})).json()["items"]
        assert [one["id"] for one in found] == [session]
        fork = (await client.post(f"{path}/fork", json={"turn": 1, "name": "other"})).json()["session"]
        assert (await client.get(f"/api/sessions/{fork}")).json()["origin"] == {"session": session, "turn": 1}
        assert (await client.delete(path)).status_code == 200
        assert [one["id"] for one in (await client.get("/api/sessions")).json()["items"]] == [fork]
        assert (await client.post(f"{path}/restore")).status_code == 200
        assert len((await client.get("/api/sessions")).json()["items"]) == 2


async def test_a_run_is_taken_apart_and_a_change_taken_back(tmp_path: Path) -> None:
    """Its steps, requests, outputs and diff; undone, replayed, exported, compared, forked and steered."""
    script = [call("write", path="a.txt", content="new\n"), say("written"), say("again")]
    async with open_api(tmp_path, script) as api, await api.program() as client:
        (api.workspace / "a.txt").write_text("old\n")
        run = await _run(api, client)
        path = f"/api/runs/{run}"
        state = (await client.get(path)).json()
        assert state["status"] == "finished"
        done = state["steps"][0]["call"]
        answer = await client.get(f"{path}/calls/{done}/diff")
        assert answer.status_code == 200, answer.text
        diff = answer.json()
        assert [(one["sign"], one["text"]) for one in diff["lines"] if one["sign"] in "+-"] == [
            ("-", "old"),
            ("+", "new"),
        ]
        output = (await client.get(f"{path}/calls/{done}/output")).json()
        assert output["size_bytes"] == len(output["text"].encode())
        assert (await client.post(f"{path}/calls/{done}/undo")).status_code == 200
        assert (api.workspace / "a.txt").read_text() == "old\n"
        assert (await client.post(f"{path}/replay")).json()["same"] is True
        assert "run.finished" in (await client.get(f"{path}/export")).text
        assert (await client.get(f"{path}/steps/1")).json()["messages"][-1]["text"]
        fork = (await client.post(f"{path}/fork", json={"step": 1})).json()["run"]
        await api.kernel.runs.wait(fork)
        assert (await client.get(f"{path}/compare/{fork}")).json()["steps"]
        assert (await client.post(f"{path}/steer", json={"text": "x"})).status_code == 409
        assert (await client.post(f"{path}/cancel")).status_code == 409


async def test_every_refusal_has_the_requests_id_and_is_a_problem_document(tmp_path: Path) -> None:
    """An id that the request brought is echoed; below /v1 a refusal has OpenAI's form."""
    async with open_api(tmp_path) as api, await api.program() as client:
        for method, path, body, status in (
            ("GET", "/api/runs/none", None, 404),
            ("POST", "/api/runs", b"{", 400),
            ("POST", "/api/runs", b'{"goal": NaN}', 400),
            ("POST", "/api/runs", b"[" * 100_000, 400),
            ("POST", "/api/runs", b'{"goal": "\\ud800"}', 400),
            ("POST", "/api/runs", b"x" * (1024 * 1024 + 1), 413),
        ):
            headers = {"x-request-id": "mine-1", "content-type": "application/json"}
            answer = await client.request(method, path, content=body, headers=headers)
            assert answer.status_code == status, (path, body and body[:20], answer.text)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["x-request-id"] == "mine-1"
            assert answer.json()["status"] == status
        plain = await client.post("/api/runs", content=b"{}", headers={"content-type": "text/plain"})
        assert plain.status_code == 415
        misspelt = await client.post("/api/runs", json={"goal": "do it", "sample": "x"})
        assert misspelt.json()["title"] == "body.sample: there is no such field"
        answer = await client.post("/v1/chat/completions", json={"model": "nobody", "messages": []})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "messages"


async def _at_once(requests: Sequence[Awaitable[httpx.Response]]) -> list[int]:
    """Their statuses."""
    got: list[int] = []

    async def send(request: Awaitable[httpx.Response]) -> None:
        got.append((await request).status_code)

    async with anyio.create_task_group() as tasks:
        for request in requests:
            tasks.start_soon(send, request)
    return got


async def _run(api: Api, client: httpx.AsyncClient) -> Any:
    run = (await client.post("/api/runs", json={"goal": "do it"})).json()["run"]
    await api.kernel.runs.wait(run)
    return run


async def _all(client: httpx.AsyncClient, path: str, *, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = (await client.get(path, params={"limit": limit, "cursor": cursor})).json()
        assert len(page["items"]) <= limit
        found += page["items"]
        cursor = page["next"]
        if not cursor:
            return found


async def _until(client: httpx.AsyncClient, path: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    with anyio.fail_after(20):
        while not holds(state := (await client.get(path)).json()):  # noqa: ASYNC110 -- the server is asked, as a program would
            await anyio.sleep(0.01)
    return state
