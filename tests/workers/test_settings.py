"""What is shown of a setting that is secret."""

from __future__ import annotations

import pytest

from workers.settings import HIDDEN, without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://mine@cache.example:6379/0", "redis://mine@cache.example:6379/0"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        ("redis://:hunter@cache", f"redis://:{HIDDEN}@cache"),
        (
            "postgresql://u:h%40nter@a:1,b:2/x?sslmode=require",
            f"postgresql://u:{HIDDEN}@a:1,b:2/x?sslmode=require",
        ),
        ("postgresql://u:hun/t@r?@db/x", f"postgresql://u:{HIDDEN}@db/x"),
        ("postgresql://u@db/x?password=hunter&a=b", f"postgresql://u@db/x?password={HIDDEN}&a=b"),
        ("rediss://h/0?ssl_password=hunter", f"rediss://h/0?ssl_password={HIDDEN}"),
        ("amqp://u:hunter@a/v;amqp://u:hunter@b/v", f"amqp://u:{HIDDEN}@a/v;amqp://u:{HIDDEN}@b/v"),
        ("amqp://u:hun;ter@a/v", HIDDEN),
        ("host=db password=hunter", HIDDEN),
        ("hunter", HIDDEN),
    ],
)
def test_of_a_url_the_password_is_hidden_and_of_anything_else_everything(url: str, shown: str) -> None:
    assert without_password(url) == shown
