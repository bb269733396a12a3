"""Signatures as any client makes them: HMAC-SHA256 over the raw body, in base64."""

from __future__ import annotations

import subprocess

import pytest

from messages.signing import decoded, sign, verifies

SECRET = "a secret of sixteen bytes or more"


def test_a_signature_is_what_openssl_makes_of_the_body() -> None:
    body = '{"id":"ä"}'.encode()
    digest = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", SECRET, "-binary"],
        input=body,
        capture_output=True,
        check=True,
    )
    made = subprocess.run(["base64"], input=digest.stdout, capture_output=True, check=True)
    assert sign(body, SECRET) == made.stdout.decode().strip()


def test_secrets_are_texts_in_utf_8() -> None:
    assert sign(b"x", "schlüssel-schlüssel") == sign(b"x", "schlüssel-schlüssel".encode())


def test_a_signature_verifies_with_its_own_secret_and_body_alone() -> None:
    mac = decoded(sign(b"body", SECRET).encode())
    assert mac is not None
    assert verifies(b"body", mac, SECRET)
    assert not verifies(b"bod", mac, SECRET)
    assert not verifies(b"body ", mac, SECRET)
    assert not verifies(b"body", mac, SECRET + "!")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"x",
        b"====",
        b"\xff\x00",
        sign(b"", SECRET).encode()[:-1],
        sign(b"", SECRET).encode() + b"\n",
        b"QUJD",
    ],
)
def test_what_is_no_base64_of_32_bytes_is_no_signature(text: bytes) -> None:
    assert decoded(text) is None
