"""The producers file: what it may say, what is wrong with it, and that a change is noticed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ledger.trust import Producer, Rule
from messages.streams import SCHEDULER
from workers.errors import SettingsInvalid
from workers.producers import ProducersFile, load, producers_of, secret_of
from workers.settings import Settings

SECRET, OTHER = "a secret of sixteen bytes or more", "another secret that is long enough"
LOGIN = "0123456789abcdef" * 4
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Puts a text in place of the producers file."""

    def written(text: str, mode: int = 0o600) -> Path:
        file = tmp_path / "producers.toml"
        fresh = tmp_path / "new"
        fresh.write_text(text, encoding="utf-8")
        fresh.chmod(mode)
        fresh.replace(file)
        return file

    return written


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


WHOLE = f"""
[producers.device-mgmt]
secrets = ["{SECRET}", "{OTHER}"]
logins = ["{LOGIN}"]
[[producers.device-mgmt.rules]]
commands = ["TopUp", "Renewal"]
under = "acme"
itself = true
[[producers.device-mgmt.rules]]
commands = ["*"]
under = "platform"
[producers.coins]
secrets = ["{SECRET}!"]
[producers.mute]
secrets = ["{SECRET}?"]
rules = []
"""


def test_a_file_says_who_may_send_what(write: Write) -> None:
    found = load(write(WHOLE)).by_name
    assert found == {
        "device-mgmt": Producer(
            "device-mgmt",
            (SECRET, OTHER),
            (Rule(frozenset({"TopUp", "Renewal"}), "acme", True), Rule(None, "platform", False)),
            (LOGIN,),
        ),
        "coins": Producer("coins", (f"{SECRET}!",), None),
        "mute": Producer("mute", (f"{SECRET}?",), ()),
    }


def test_the_leading_table_may_be_left_out(write: Write) -> None:
    assert load(write(WHOLE.replace("producers.", ""))) == load(write(WHOLE))


def test_a_producer_may_be_called_producers(write: Write) -> None:
    assert list(load(write(f'[producers]\nsecrets = ["{SECRET}"]')).by_name) == ["producers"]


def test_secrets_are_not_shown_by_accident(write: Write) -> None:
    assert SECRET not in repr(load(write(WHOLE)))


def one(*lines: str, name: str = "shop", secrets: str = f'"{SECRET}"') -> str:
    return "\n".join([f"[producers.{name}]", f"secrets = [{secrets}]", *lines])


RULE = "[[producers.shop.rules]]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[producers", "no TOML"),
        (one(secrets=""), "secrets: write one, or two"),
        ("[producers.shop]", "secrets: write one, or two"),
        (one(secrets=", ".join(f'"{SECRET}{n}"' for n in range(3))), "there are 3"),
        (one(secrets='"fifteen bytes…"'.replace("…", ".")), "at least 16 bytes"),
        (one(secrets="7"), "secrets: write an array of texts"),
        (one('logins = ["abc"]'), "logins: write the SHA-256"),
        (one('secret = "x"'), "secret: no such key; there are amqp_logins, logins, rules, secrets"),
        (one("rules = 3"), "rules: write [[producers.shop.rules]]"),
        (one("rules = [3]"), "rule 1: is no table"),
        (one(RULE, 'under = "acme"'), "rule 1, commands: name at least one"),
        (one(RULE, 'commands = ["TopUp", "TopDown"]', 'under = "acme"'), "'TopDown' is no command"),
        (one(RULE, 'commands = "TopUp"', 'under = "acme"'), "rule 1, commands: write an array"),
        (one(RULE, 'commands = ["TopUp"]'), "rule 1, under: write the id of an account"),
        (one(RULE, 'commands = ["*"]', 'under = "a b"'), "rule 1, under: write the id of an account"),
        (one(RULE, 'commands = ["*"]', 'under = "acme"', "itself = 1"), "itself: write true or false"),
        (one(RULE, 'commands = ["*"]', 'under = "a"', "all = true"), "rule 1, all: no such key"),
        (one(name='"a.b"'), "'a.b' is no name"),
        (one(name='"x/y"'), "'x/y' is no name"),
        (one(name='"*"'), "'*' is no name"),
        (one(name=f'"{"x" * 65}"'), "is no name"),
        (one(name="default"), "default is a user of the server itself"),
        (f"{one()}\n{one(name='other')}", "have the same secret"),
        (f"{one()}\n[shop]\nsecrets = []", "shop is there twice"),
        ("[producers]\nshop = 3", "is no table"),
    ],
)
def test_what_is_wrong_is_said_with_file_producer_and_key(write: Write, text: str, said: str) -> None:
    file = write(text)
    with pytest.raises(SettingsInvalid) as raised:
        load(file)
    assert str(raised.value).startswith(str(file))
    assert said in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_can_read_is_refused(write: Write, mode: int) -> None:
    file = write(WHOLE, mode)  # type: ignore[call-arg]
    with pytest.raises(SettingsInvalid, match=f"chmod 600 {file}"):
        load(file)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read what others keep to themselves")
def test_a_file_of_another_user_is_refused(write: Write) -> None:
    file = write(WHOLE)
    os.chown(file, 12_345, -1)
    with pytest.raises(SettingsInvalid, match=r"belongs to another user \(id 12345\).*chown 0 "):
        load(file)


def test_a_file_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="coins producer new"):
        load(tmp_path / "none.toml")
    with pytest.raises(SettingsInvalid, match=r"is no file|Is a directory"):
        load(tmp_path)


def test_a_change_is_noticed_within_a_second(write: Write) -> None:
    clock = Clock()
    file = ProducersFile(write(one()), clock)
    before = file.current()
    assert list(before.by_name) == ["shop"]
    write(one(name="other"))
    clock.seconds += 0.9
    assert file.current() is before
    clock.seconds += 0.2
    assert list(file.current().by_name) == ["other"]
    unchanged = file.current()
    clock.seconds += 5
    assert file.current() is unchanged, "nothing is read where nothing has changed"


@pytest.mark.parametrize("broken", ["[producers", "", one(secrets="")])
def test_a_broken_change_is_told_once_and_the_file_before_stays_in_force(write: Write, broken: str) -> None:
    clock = Clock()
    file = ProducersFile(path := write(one()), clock)
    write(broken) if broken else path.unlink()
    with capture_logs() as logs:
        for _ in range(5):
            clock.seconds += 2
            assert list(file.current().by_name) == ["shop"]
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert "stays in force" in logs[0]["event"]
    write(one(name="mended"))
    clock.seconds += 2
    assert list(file.current().by_name) == ["mended"]


def test_the_systems_own_producers_sign_with_their_first_secret(write: Write) -> None:
    settings = Settings(producers_file=write(one(name="coins", secrets=f'"{OTHER}", "{SECRET}"')))
    assert secret_of(settings, SCHEDULER) == OTHER
    with pytest.raises(SettingsInvalid, match="coins producer new cli"):
        secret_of(settings, "cli")


def test_without_a_file_nobody_signs_and_a_warning_says_so() -> None:
    assert secret_of(Settings(producers_file=None), "cli") is None
    with capture_logs() as logs:
        assert producers_of(Settings(producers_file=None)) is None
    assert [entry["log_level"] for entry in logs] == ["warning"]


def test_whoever_asks_for_now_does_not_wait_for_the_second(write: Write) -> None:
    clock = Clock()
    file = ProducersFile(write(one()), clock)
    write(one(name="other"))
    assert list(file.current().by_name) == ["shop"]
    assert list(file.current(at_once=True).by_name) == ["other"]
