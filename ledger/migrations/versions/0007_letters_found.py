"""How dead letters are found: by the trouble they are in, by their run, by their account. Beside the traffic, and over again
where it was broken off: every batch looks at the letters, and is not to wait.
"""

from __future__ import annotations

import json
import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NAMES = ("account", "parent", "from_account", "to_account", "ordered_by", "reseller", "customer")
ACCOUNT = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
AT_ONCE = 200
INDEXES = {
    "dead_letter_run_idx": ("run", "run IS NOT NULL"),
    "dead_letter_open_idx": ("group_id", "state IN ('waiting', 'failed again')"),
}
LETTERS = sa.text("""
SELECT id, substring(raw FOR 65536), place FROM dead_letter
WHERE id > :last AND account IS NULL ORDER BY id LIMIT :rows""")
NAME = sa.text("""
UPDATE dead_letter d SET account = n.account
FROM unnest(CAST(:ids AS int8[]), CAST(:accounts AS text[])) AS n(id, account) WHERE d.id = n.id""")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, (indexed, condition) in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.create_index(
                name,
                "dead_letter",
                [indexed],
                postgresql_where=sa.text(condition),
                postgresql_concurrently=True,
            )
        _name_accounts(op.get_bind())


def _name_accounts(connection: sa.Connection) -> None:
    """Letters that are there already can be chosen by their account, too. Some at a time, each for itself."""
    last = 0
    while True:
        rows = connection.execute(LETTERS, {"last": last, "rows": AT_ONCE}).all()
        if not rows:
            return
        named = [(id_, account) for id_, raw, place in rows if (account := _account_of(bytes(raw), place))]
        last = rows[-1][0]
        if named:
            ids, accounts = zip(*named, strict=True)
            connection.execute(NAME, {"ids": list(ids), "accounts": list(accounts)})


def _account_of(raw: bytes, place: int) -> str | None:
    try:
        content: Any = json.loads(raw)
        event = content[place] if isinstance(content, list) else content
        data = event["data"]
        named = next((data[name] for name in NAMES if isinstance(data.get(name), str)), "")
        return named if ACCOUNT.fullmatch(named) else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, table_name="dead_letter")
