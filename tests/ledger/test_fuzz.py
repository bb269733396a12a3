"""Any message, end to end: each of its events is decided or dead-lettered, once; what stands beside it is applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger.verify import verify
from messages.codec import Decoded, Invalid, decode
from tests import builders as a
from tests.desk import LedgerDesk, body_of
from tests.messages.accounting import as_message
from tests.messages.strategies import damaged, events, spoiled

SOME = settings(
    max_examples=max(20, settings.default.max_examples // 5) if settings.default else 20,
    suppress_health_check=[*HealthCheck],
)

# Keys that come again, under the same content and under other: duplicates and conflicts.
FEW_KEYS = st.builds(
    lambda event, id_: {**event, "source": "tests", "id": id_}, events(), st.sampled_from(["1", "2", "3"])
)
ARRAYS = st.lists(events().map(as_message) | spoiled(), min_size=1, max_size=4).map(
    lambda some: b"[" + b",".join(some) + b"]"
)
MESSAGES = st.one_of(
    FEW_KEYS.map(as_message),
    events().map(as_message),
    spoiled(),
    ARRAYS,
    ARRAYS.flatmap(damaged),
    st.binary(max_size=50),
)


def letters_of(desk: LedgerDesk) -> Counter[str]:
    """How many parts have ever been dead-lettered, by reason."""
    rows = desk.all("SELECT reason, sum(count)::int FROM dead_letter_group GROUP BY reason")
    return Counter(dict(rows))


def keys_of(desk: LedgerDesk) -> set[tuple[str, str]]:
    return set(desk.all("SELECT source, id FROM command"))


@pytest.fixture
def verified_desk(desk: LedgerDesk) -> Iterator[LedgerDesk]:
    """A ledger that agrees with itself after everything that came in."""
    yield desk
    assert verify(desk.connection).differences == []


@SOME
@given(st.lists(MESSAGES, min_size=1, max_size=5))
def test_every_event_of_any_batch_is_decided_or_dead_lettered_once(
    verified_desk: LedgerDesk, bodies: list[bytes]
) -> None:
    desk = verified_desk
    # Given an account that nobody but the neighbours knows of
    if "neighbour" not in desk.accounts():
        desk.do(a.enterprise("neighbour"), a.enterprise(), a.branch(), a.top_up("acme", 10**6))
        desk.do(a.reseller(), a.sponsored_customer(), a.top_up("shop", 10**6), a.grant(amount=10**6))
    keys, letters, credit = keys_of(desk), letters_of(desk), desk.credit("neighbour")
    first, last = (body_of(a.top_up("neighbour", 1)) for _ in range(2))

    # When anything comes in between its commands
    said = desk.deliver(first, *bodies, last)

    # Then nothing crashed, and every part has an outcome or a letter
    parts = [part for body in bodies for part in decode(body)]
    decoded = [part for part in parts if isinstance(part, Decoded)]
    invalid = [part for part in parts if isinstance(part, Invalid)]
    more = letters_of(desk) - letters
    assert more == +Counter(invalid=len(invalid), unreadable=len(parts) - len(decoded) - len(invalid))
    assert len(said) == 2 + len(decoded) + len(invalid)
    # every key of a valid command has exactly one outcome that lasts, and no other key has
    wanted = {(part.event.source, part.event.id) for part in decoded}
    new = keys_of(desk) - keys
    assert wanted - keys == {key for key in new if key in wanted}
    assert len(new - wanted) == 2
    # and the neighbours were applied
    assert [one.data.reason for one in (said[0], said[-1])] == [None, None]
    assert desk.credit("neighbour") == credit + 2
