"""Signed notes and checkpoints in the C2SP form, from both sides."""

from __future__ import annotations

from base64 import b64decode

import pytest

from kernel.errors import Invalid
from kernel.journal.note import (
    Checkpoint,
    Signer,
    checkpoint,
    open_checkpoint,
    open_note,
    signer,
    verifier_key,
)

SIGNER = Signer("oxios/test", bytes(range(32)))
OTHER = Signer("oxios/test", bytes(32))
# The key and note of Go's sumdb/note package documentation: another implementation's bytes.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_another_implementations_note_verifies() -> None:
    """A note signed by Go's reference implementation opens with its verifier key."""
    text, key = open_note(PETER_NOTE, [verifier_key(PETER)])
    assert text == PETER_NOTE.partition("\n\n")[0] + "\n"
    assert key.text == PETER


def test_one_changed_letter_is_refused() -> None:
    """A note whose text differs by one letter has a false signature."""
    with pytest.raises(Invalid, match="false"):
        open_note(PETER_NOTE.replace("cryptography", "Cryptography"), [verifier_key(PETER)])


def test_a_note_opens_only_for_a_trusted_key() -> None:
    """A good signature of an unknown key is no signature, nor is one of another key by the same name."""
    note = SIGNER.sign("hello\n")
    assert open_note(note, [OTHER.key, SIGNER.key]) == ("hello\n", SIGNER.key)
    with pytest.raises(Invalid, match="no trusted key"):
        open_note(note, [OTHER.key])


def test_keys_survive_their_text_form() -> None:
    """Signing and verifier keys read back from their C2SP text."""
    assert signer(SIGNER.text).sign("x\n") == SIGNER.sign("x\n")
    assert verifier_key(SIGNER.key.text) == SIGNER.key


@pytest.mark.parametrize(
    "text",
    ["", "name", "name+00000000+AAAA", PETER[:-4] + "AAAA", PETER.replace("c74f", "c74e"), f"X{PETER}"],
)
def test_a_damaged_verifier_key_is_refused(text: str) -> None:
    """Cut, bent or renamed keys are refused: the id binds name and key."""
    with pytest.raises(Invalid):
        verifier_key(text)


@pytest.mark.parametrize("text", ["", "PRIVATE+KEY+", PETER, SIGNER.text[:-8], SIGNER.text.replace("oxios", "axios")])
def test_a_damaged_signing_key_is_refused(text: str) -> None:
    """A signing key file that was cut or changed is refused before it signs anything."""
    with pytest.raises(Invalid):
        signer(text)


def test_a_checkpoint_has_exactly_the_specified_bytes() -> None:
    """Origin, decimal size and base64 root, a line each, under an Ed25519 signature line."""
    note = SIGNER.sign(Checkpoint("oxios/test", 42, bytes(32)).text())
    text, signature = note.split("\n\n")
    assert text == f"oxios/test\n42\n{'A' * 43}="
    dash, name, encoded = signature.rstrip("\n").split(" ")
    assert (dash, name) == ("\u2014", "oxios/test")
    assert b64decode(encoded)[:4] == SIGNER.key.id
    assert open_checkpoint(note, [SIGNER.key]) == Checkpoint("oxios/test", 42, bytes(32))


@pytest.mark.parametrize(
    "text", ["oxios\n42\n", "oxios\n042\nAAAA\n", "oxios\n-1\nAAAA\n", "oxios\n42\nAAAA\n", f"\n42\n{'A' * 43}=\n"]
)
def test_a_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    """Missing lines, odd numbers, short roots and empty origins are refused, signed or not."""
    with pytest.raises(Invalid):
        checkpoint(text)


@pytest.mark.parametrize(
    "note", ["", "hello\n", "hello\n\nno dash\n", "hello\n\n\u2014 oxios/test !!!\n", "hello\n\n\u2014 a b"]
)
def test_a_text_that_is_no_note_is_refused(note: str) -> None:
    """Without a gap, a dash, base64 or a final newline it is no note."""
    with pytest.raises(Invalid):
        open_note(note, [SIGNER.key])
