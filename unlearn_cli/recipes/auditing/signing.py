"""Signatures of a lineage: a DSSE envelope around its newest statement, which names the hash of all before it.

The envelope is the one of in-toto (https://github.com/secure-systems-lab/dsse), read and written by securesystemslib.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import Any, Literal

from unlearn_cli.atomic import write_atomically
from unlearn_cli.errors import UnlearnError
from unlearn_cli.jsonfile import read_object, to_json
from unlearn_cli.lineage import BROKEN, Link

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAKE = "openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out public.pem"
State = Literal["not signed", "signed, not checked", "good", "bad"]


@dataclass(frozen=True)
class Signature:
    """What is known of the signature of a chain."""

    state: State
    links: int  # statements that it covers, from the first
    key: str | None = None  # its id
    reason: str | None = None

    def in_words(self, links: int) -> str:
        """A sentence on a chain of so many statements."""
        if self.state == "not signed":
            return "not signed: whoever can write here can write another lineage"
        covered = "" if self.links == links else f"; it covers the first {self.links} of {links} statements"
        key = (self.key or "")[:12]
        return {
            "signed, not checked": f"signed with key {key}, which was not checked: --key FILE checks it",
            "good": f"the signature of key {key} is good",
            "bad": f"the signature is not good: {self.reason}",
        }[self.state] + covered


def sign(link: Link, key: Path) -> str:
    """Sign a statement with a private key in PEM; returns the id of the key.

    Raises:
        UnlearnError: the key cannot be read, or the extra is missing.
    """
    library = _library()
    signer = library.CryptoSigner(_private_key(key))
    envelope = library.Envelope(link.path.read_bytes(), PAYLOAD_TYPE, {})
    signature = envelope.sign(signer)
    write_atomically(link.envelope, to_json(envelope.to_dict()) + "\n")
    return str(signature.keyid)


def check(links: list[Link], key: Path | None) -> Signature:
    """The newest signature of a chain, checked with a public key in PEM where one is given.

    Raises:
        UnlearnError: the key cannot be read, or the extra is missing.
    """
    public = _public_key(key) if key else None
    number = max((i for i, link in enumerate(links, 1) if link.envelope.is_file()), default=0)
    if not number:
        return Signature("not signed", 0)
    link = links[number - 1]
    content = read_object(link.envelope, BROKEN)
    try:
        name = str(content["signatures"][0]["keyid"])
    except (KeyError, IndexError, TypeError):
        return Signature("bad", number, reason=f"{link.envelope.name} holds no signature")
    if public is None:
        return Signature("signed, not checked", number, name)
    library = _library()
    try:
        envelope = library.Envelope.from_dict(content)
        envelope.verify([public], 1)
    except (library.VerificationError, KeyError, TypeError, ValueError) as error:
        why = (
            "it is of another key, or the statement was edited"
            if isinstance(error, library.VerificationError)
            else str(error)
        )
        return Signature("bad", number, name, why)
    if envelope.payload != link.path.read_bytes() or envelope.payload_type != PAYLOAD_TYPE:
        return Signature("bad", number, name, f"{link.path.name} is not the statement that was signed")
    return Signature("good", number, name)


class _Library:
    """What is used of securesystemslib and cryptography, which come with the extra `sign`."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra
        from securesystemslib.dsse import Envelope  # noqa: PLC0415
        from securesystemslib.exceptions import VerificationError  # noqa: PLC0415
        from securesystemslib.signer import CryptoSigner, SSlibKey  # noqa: PLC0415

        self.serialization, self.Envelope, self.VerificationError = serialization, Envelope, VerificationError
        self.CryptoSigner, self.SSlibKey = CryptoSigner, SSlibKey


def _library() -> _Library:
    try:
        return _Library()
    except ImportError:
        raise UnlearnError("signatures need securesystemslib", "pip install unlearn-cli[sign]") from None


def _private_key(path: Path) -> Any:
    library, content = _library(), _content(path)
    password = None
    if b"ENCRYPTED" in content:
        if not sys.stdin.isatty():
            raise UnlearnError(
                f"{path} has a password, and nobody can be asked for it here",
                "take the password off: openssl pkey -in key.pem -out plain.pem",
            )
        password = getpass(f"password of {path}: ").encode()
    try:
        return library.serialization.load_pem_private_key(content, password)
    except (ValueError, TypeError):
        raise UnlearnError(f"{path} is no private key in PEM, or its password is another", MAKE) from None


def _public_key(path: Path) -> Any:
    library = _library()
    try:
        return library.SSlibKey.from_crypto(library.serialization.load_pem_public_key(_content(path)))
    except (ValueError, TypeError):
        raise UnlearnError(f"{path} is no public key in PEM", MAKE) from None


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnlearnError(f"the key {path} cannot be read: {error.strerror}", MAKE) from None
