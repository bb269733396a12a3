"""Signatures: base64 of HMAC-SHA256 over the raw body of a message (CONTRACT §3, "Who may send").

The key is the secret's text in UTF-8, just as it stands in the producers file.
"""

from __future__ import annotations

import base64
import binascii
import hmac

BYTES = 32


def sign(body: bytes, secret: str | bytes) -> str:
    """The signature of a message: 44 characters of base64."""
    return base64.b64encode(_mac(body, secret)).decode()


def decoded(signature: bytes) -> bytes | None:
    """The bytes that a signature stands for; None where it is no base64 of 32 bytes."""
    try:
        made = binascii.a2b_base64(signature, strict_mode=True)
    except binascii.Error:
        return None
    return made if len(made) == BYTES else None


def verifies(body: bytes, mac: bytes, secret: str | bytes) -> bool:
    """Whether `mac` is what that secret makes of the body. It takes as long for a wrong one as for the right one."""
    return hmac.compare_digest(mac, _mac(body, secret))


def _mac(body: bytes, secret: str | bytes) -> bytes:
    return hmac.digest(secret.encode() if isinstance(secret, str) else secret, body, "sha256")
