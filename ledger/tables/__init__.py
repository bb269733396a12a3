"""The tables, as SQLAlchemy metadata: what migrations are compared with, and the one place that says what a column is for.

The path of a command (`snapshot.py`, `store.py`) and the reading side (`queries/`) use SQL of their own, by psycopg: the
first for speed, the second because a look at a balance should not wait for the import of SQLAlchemy.
"""

from __future__ import annotations

from ledger.tables import books, operations, products, upkeep
from ledger.tables.base import metadata

__all__ = ["books", "metadata", "operations", "products", "upkeep"]
