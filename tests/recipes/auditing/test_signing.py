"""Signatures of statements, and what is said of keys that are none."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from unlearn_cli.errors import UnlearnError
from unlearn_cli.lineage import Link
from unlearn_cli.recipes.auditing import signing
from unlearn_cli.recipes.auditing.signing import Signature, check, sign


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private key in PEM, and its public one."""
    return pair(tmp_path, "key")


def pair(folder: Path, name: str) -> tuple[Path, Path]:
    private = Ed25519PrivateKey.generate()
    paths = folder / f"{name}.pem", folder / f"{name}.pub"
    paths[0].write_bytes(
        private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = private.public_key()
    paths[1].write_bytes(public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    return paths


@pytest.fixture
def links(tmp_path: Path) -> list[Link]:
    statements = [tmp_path / f"{number}.json" for number in range(3)]
    for path in statements:
        path.write_text(json.dumps({"name": path.stem}))
    return [Link(path, {}) for path in statements]


def test_a_signature_covers_what_came_before(keys, links) -> None:
    private, public = keys
    assert check(links, public).state == "not signed"
    name = sign(links[1], private)
    assert check(links, None) == Signature("signed, not checked", 2, name)
    good = check(links, public)
    assert good == Signature("good", 2, name)
    assert good.in_words(3) == f"the signature of key {name[:12]} is good; it covers the first 2 of 3 statements"
    assert good.in_words(2) == f"the signature of key {name[:12]} is good"


def test_another_key_and_an_edited_statement_are_bad(keys, links, tmp_path) -> None:
    sign(links[2], keys[0])
    other = check(links, pair(tmp_path, "other")[1])
    assert other.state == "bad" and other.reason == "it is of another key, or the statement was edited"
    links[2].path.write_text("{}")
    edited = check(links, keys[1])
    assert edited.state == "bad" and edited.reason == "2.json is not the statement that was signed"


@pytest.mark.parametrize("content", [{}, {"signatures": []}, {"signatures": [{}]}, {"signatures": 3}])
def test_an_envelope_without_a_signature_is_bad(links, content) -> None:
    links[0].envelope.write_text(json.dumps(content))
    assert check(links, None).reason == f"{links[0].envelope.name} holds no signature"


def test_what_is_no_key_is_refused_with_the_line_that_makes_one(keys, links, tmp_path) -> None:
    (tmp_path / "text").write_text("a text")
    for call, message in (
        (lambda: sign(links[0], tmp_path / "text"), "is no private key in PEM"),
        (lambda: sign(links[0], keys[1]), "is no private key in PEM"),
        (lambda: check(links, tmp_path / "text"), "is no public key in PEM"),
        (lambda: check(links, keys[0]), "is no public key in PEM"),
        (lambda: check(links, tmp_path / "gone"), "cannot be read: No such file"),
    ):
        with pytest.raises(UnlearnError, match=message) as refused:
            call()
        assert refused.value.hint and "openssl genpkey" in refused.value.hint
    assert not links[0].envelope.exists()


def test_a_key_with_a_password_is_refused_where_nobody_can_be_asked(keys, links, tmp_path, monkeypatch) -> None:
    private = serialization.load_pem_private_key(keys[0].read_bytes(), None)
    locked = tmp_path / "locked.pem"
    encryption = serialization.BestAvailableEncryption(b"open sesame")
    locked.write_bytes(private.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(UnlearnError, match="has a password, and nobody can be asked for it here"):
        sign(links[0], locked)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(signing, "getpass", lambda _prompt: "wrong")
    with pytest.raises(UnlearnError, match="its password is another"):
        sign(links[0], locked)
    monkeypatch.setattr(signing, "getpass", lambda _prompt: "open sesame")
    sign(links[0], locked)
    assert check(links, keys[1]).state == "good"
