"""Anthropic's requests: turns merged, calls and results paired, the cache's marks, files, each message once."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from kernel.adapters.providers.body import PIECE_BYTES
from kernel.adapters.providers.chat.encode import encode_request as encode_chat
from kernel.adapters.providers.messages.encode import WIRE, encode_request
from kernel.errors import Invalid
from kernel.limits import ATTACHMENT_BYTES_MAX
from kernel.ports.provider import Attachment, AttachmentRefused, Message, ModelRequest, ToolCall, ToolSpec

READ = ToolSpec("read", "Read.", {"type": "object"})
PNG = Attachment("image/png", b"\x89PNG", "a.png")
PDF = Attachment("application/pdf", b"%PDF", "b.pdf")
TEXT = Attachment("text/csv", "a,ü\n".encode(), "c.csv")
MARK = {"type": "ephemeral"}


def body_of(*messages: Message, tools: tuple[ToolSpec, ...] = (), **more: Any) -> dict[str, Any]:
    return json.loads(b"".join(encode_request(ModelRequest("m", messages, tools, **more), "m")))


def turns_of(*messages: Message) -> list[tuple[str, list[str]]]:
    return [(one["role"], [block["type"] for block in one["content"]]) for one in body_of(*messages)["messages"]]


def calling(*ids: str, text: str = "") -> Message:
    return Message("assistant", text, tuple(ToolCall(one, "read", '{"p":1}') for one in ids))


def result(call_id: str, text: str = "x", *, is_error: bool = False) -> Message:
    return Message("tool", text, call_id=call_id, is_error=is_error)


def conversation(rounds: int, size: int = 10) -> list[Message]:
    messages = [Message("system", "sys"), Message("user", "gö")]
    for number in range(rounds):
        messages += [calling(f"c{number}"), result(f"c{number}", "x" * size)]
    return messages


def marked(body: dict[str, Any]) -> list[tuple[int, int]]:
    return [
        (turn, place)
        for turn, message in enumerate(body["messages"])
        for place, block in enumerate(message["content"])
        if block.get("cache_control") == MARK
    ]


def test_a_body_is_what_the_protocol_asks_for() -> None:
    """Options, system, tools, calls and results stand where the API looks for them."""
    body = body_of(*conversation(1), tools=(READ,), output_tokens_max=9, temperature=0.5)
    assert (body["model"], body["max_tokens"], body["stream"], body["temperature"]) == ("m", 9, True, 0.5)
    assert body["system"] == [{"type": "text", "text": "sys", "cache_control": MARK}]
    assert body["tools"] == [
        {"name": "read", "description": "Read.", "input_schema": {"type": "object"}, "cache_control": MARK}
    ]
    assert body["messages"][1]["content"] == [{"type": "tool_use", "id": "c0", "name": "read", "input": {"p": 1}}]
    assert body["messages"][2]["content"][0] == {
        "type": "tool_result", "tool_use_id": "c0", "content": "x" * 10, "cache_control": MARK,
    }  # fmt: skip


def test_all_results_of_a_turn_are_one_user_message() -> None:
    """Parallel calls are answered together, and a steering word comes after them."""
    assert turns_of(
        Message("user", "go"), calling("a", "b", text="I look."), result("a"), result("b", is_error=True),
        Message("user", "hurry"), calling("c"), result("c"),
    ) == [
        ("user", ["text"]),
        ("assistant", ["text", "tool_use", "tool_use"]),
        ("user", ["tool_result", "tool_result", "text"]),
        ("assistant", ["tool_use"]),
        ("user", ["tool_result"]),
    ]  # fmt: skip


def test_a_result_without_words_is_still_one() -> None:
    """An empty result has no content; an empty error says that it failed."""
    blocks = body_of(Message("user", "go"), calling("a", "b"), result("a", ""), result("b", " ", is_error=True))
    assert blocks["messages"][2]["content"] == [
        {"type": "tool_result", "tool_use_id": "a"},
        {"type": "tool_result", "tool_use_id": "b", "is_error": True, "content": "it failed, and did not say why"},
    ]


def test_nothing_empty_is_sent() -> None:
    """Empty and blank texts, which the API refuses, leave no block; neighbours of one side become one."""
    assert turns_of(Message("user", "a"), Message("assistant", " \n"), Message("user", "b"), Message("user", "")) == [
        ("user", ["text", "text"])
    ]
    assert turns_of(Message("system", "s"), Message("user", "")) == [("user", ["text"])]
    assert turns_of(Message("assistant", "I was first")) == [("user", ["text"]), ("assistant", ["text"])]
    assert "system" not in body_of(Message("system", " "), Message("user", "a"))


def test_a_system_text_within_the_conversation_stays_where_it_is() -> None:
    """Moving it to the front would change the prefix that the cache holds."""
    assert turns_of(Message("system", "s"), Message("user", "a"), Message("system", "t")) == [("user", ["text"] * 2)]


def test_the_last_text_of_an_answer_has_no_blank_end() -> None:
    """Text that ends in blanks is refused where it is the last; a person's stays as it is."""
    body = body_of(Message("user", "a "), Message("assistant", "b \n"))
    assert [one["content"][0]["text"] for one in body["messages"]] == ["a ", "b"]


@pytest.mark.parametrize("rounds", [0, 1, 5])
def test_the_cache_is_marked_at_this_end_and_at_the_last_one(rounds: int) -> None:
    """Two marks in the conversation, four in all, as many as the API takes: what was asked before is found again."""
    body = body_of(*conversation(rounds), tools=(READ,))
    last = len(body["messages"]) - 1
    assert marked(body) == ([(last - 2, 0), (last, 0)] if rounds else [(last, 0)])
    assert not marked(body_of(*conversation(rounds)))


def test_each_message_and_the_tools_are_encoded_once() -> None:
    """The next round's body repeats this round's, marks apart, and uses the very same encodings."""
    tools = (ToolSpec("read", "Read.", {"type": "object"}),)
    messages = conversation(3)
    first = b"".join(encode_request(ModelRequest("m", messages, tools), "m"))
    kept, tool = [message.wire[WIRE] for message in messages], tools[0].wire[WIRE]
    messages += [calling("d0"), result("d0")]
    second = b"".join(encode_request(ModelRequest("m", messages, tools), "m"))
    assert all(message.wire[WIRE] is before for message, before in zip(messages, kept, strict=False))
    mark = b',"cache_control":{"type":"ephemeral"}'
    assert second.replace(mark, b"").startswith(first.replace(mark, b"")[:-3])
    assert tools[0].wire[WIRE] is tool


@pytest.mark.parametrize("size", [10, PIECE_BYTES // 10, PIECE_BYTES * 2])
def test_a_long_conversation_is_the_same_json_in_pieces(size: int) -> None:
    """Cutting the body into pieces neither loses nor adds a byte, and bounds what is copied at once."""
    pieces = encode_request(ModelRequest("m", conversation(15, size), (READ,)), "m")
    body = json.loads(b"".join(pieces))
    assert [one["role"] for one in body["messages"]] == ["user", *["assistant", "user"] * 15]
    if size > 10:
        assert len(pieces) > 1
        assert max(map(len, pieces)) <= PIECE_BYTES * 2 + size


def test_ids_that_another_model_made_up_are_taken() -> None:
    """Letters that the API refuses, and ids that come twice, are written anew, calls and results alike."""
    odd = "functions.read:0"
    body = body_of(
        Message("user", "go"), calling(odd), result(odd), calling(odd), result(odd), calling("x" * 99), result("x" * 99)
    )
    pairs = [
        (body["messages"][at]["content"][0]["id"], body["messages"][at + 1]["content"][0]["tool_use_id"])
        for at in (1, 3, 5)
    ]
    assert all(one == other for one, other in pairs)
    assert len({one for one, _ in pairs}) == 3
    assert all(one.replace("_", "").isalnum() and len(one) <= 64 for one, _ in pairs)


def test_an_id_that_comes_again_in_a_later_round_is_its_own() -> None:
    """Although the first pair was encoded, and sent, before the second existed."""
    messages = [Message("user", "go"), calling("a"), result("a")]
    body_of(*messages)
    messages += [calling("a"), result("a")]
    body = body_of(*messages)
    assert [one["content"][0].get("id") or one["content"][0]["tool_use_id"] for one in body["messages"][1:]] == [
        "a", "a", "a_2", "a_2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ('{"p": 1}', {"p": 1}),
        ('{"p":', {"malformed": '{"p":'}),
        ("[1]", {"malformed": "[1]"}),
        ("", {"malformed": ""}),
        ('{"p": NaN}', {"malformed": '{"p": NaN}'}),
        ('{"p": "\\ud83c\\udf0d"}', {"p": "🌍"}),
        ('{"p": "\\ud83c"}', {"p": "?"}),
        ("[" * 100_000, {"malformed": "[" * 100_000}),
    ],
)
def test_arguments_go_back_as_an_object(arguments: str, sent: dict[str, Any]) -> None:
    """What the model once wrote cannot make the whole conversation be refused."""
    body = body_of(Message("user", "go"), Message("assistant", "", (ToolCall("c", "a b/c", arguments),)))
    block = body["messages"][1]["content"][0]
    assert (block["name"], block["input"]) == ("a_b_c", sent)


def test_files_come_before_the_words() -> None:
    """Images, PDF and text in the form of each wire format."""
    message = Message("user", "look", attachments=(PNG, PDF, TEXT))
    blocks = body_of(message)["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["image", "document", "document", "text"]
    assert blocks[0]["source"] == {"type": "base64", "media_type": "image/png", "data": _b64(PNG)}
    assert (blocks[1]["title"], blocks[1]["source"]["media_type"]) == ("b.pdf", "application/pdf")
    assert blocks[2]["source"] == {"type": "text", "media_type": "text/plain", "data": "a,ü\n"}
    parts = _chat(message)
    assert [part["type"] for part in parts] == ["image_url", "file", "text", "text"]
    assert parts[0]["image_url"]["url"] == f"data:image/png;base64,{_b64(PNG)}"
    assert parts[1]["file"] == {"filename": "b.pdf", "file_data": f"data:application/pdf;base64,{_b64(PDF)}"}
    assert parts[2]["text"] == "Attached file c.csv (text/csv):\n\na,ü\n"
    assert _chat(Message("user", "", attachments=(Attachment("audio/mpeg", b"x"),)))[0]["input_audio"] == {
        "data": "eA==", "format": "mp3",
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["video/mp4", "image/tiff", "application/zip"])
def test_a_file_that_a_format_has_no_place_for_is_refused(kind: str) -> None:
    """The refusal names the file, its type and what is taken, and nothing is sent."""
    message = Message("user", "look", attachments=(Attachment(kind, b"x", "film"),))
    for ask in (body_of, _chat):
        with pytest.raises(AttachmentRefused, match=f"film is {kind}") as raised:
            ask(message)
        assert "PNG" in raised.value.remedy
    with pytest.raises(AttachmentRefused, match="no UTF-8"):
        body_of(Message("user", "", attachments=(Attachment("text/plain", b"\xff"),)))


@pytest.mark.parametrize("data", [b"", b"x" * (ATTACHMENT_BYTES_MAX + 1)])
def test_a_file_is_neither_empty_nor_too_long(data: bytes) -> None:
    """Both bounds are refused where the file is made, and just within them it is taken."""
    with pytest.raises(Invalid, match=r"a\.png"):
        Attachment("image/png", data, "a.png")
    assert Attachment("image/png", data[:ATTACHMENT_BYTES_MAX] or b"x").data
    with pytest.raises(Invalid, match="media type"):
        Attachment("png", b"x", "a.png")


def _b64(attachment: Attachment) -> str:
    return base64.b64encode(attachment.data).decode()


def _chat(message: Message) -> list[dict[str, Any]]:
    return json.loads(b"".join(encode_chat(ModelRequest("m", [message]), "m", "max_tokens")))["messages"][0]["content"]
