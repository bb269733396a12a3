"""The names of streams, and which partition a command belongs to."""

from __future__ import annotations

import zlib

import pytest

from messages.streams import commands_stream, outcomes_stream, partition_of, read_commands_stream


def test_a_partition_is_the_checksum_of_its_key() -> None:
    assert partition_of("acme", 7) == zlib.crc32(b"acme") % 7
    assert partition_of("钱", 5) == zlib.crc32("钱".encode()) % 5
    assert partition_of(None, 7) == partition_of("", 7) == 0
    assert partition_of("anything", 1) == 0


def test_streams_have_the_names_of_the_contract() -> None:
    assert commands_stream(3) == "coins:commands:3"
    assert commands_stream(3, "device-mgmt") == "coins:commands:3:device-mgmt"
    assert outcomes_stream("device-mgmt") == "coins:events:device-mgmt"


def test_a_name_is_read_as_it_was_made() -> None:
    assert read_commands_stream(commands_stream(0)) == (0, None)
    assert read_commands_stream(commands_stream(12, "a_B-9")) == (12, "a_B-9")


@pytest.mark.parametrize(
    "name",
    [
        "coins:commands:",
        "coins:commands:x",
        "coins:commands:1:",
        "coins:commands:1:a b",
        "coins:commands:1:a:b",
        "coins:events",
        "xcoins:commands:1",
        "coins:commands:1\n",
        "coins:commands:01:shop",
        "coins:commands:1024:shop",
        "coins:commands:1١:shop",
    ],
)
def test_other_names_are_none(name: str) -> None:
    assert read_commands_stream(name) is None
