"""What all tables share: their metadata, how constraints are named, how moments are stored."""

from __future__ import annotations

from sqlalchemy import DateTime, MetaData

NAMING = {
    "pk": "%(table_name)s_pkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "ck": "%(table_name)s_%(constraint_name)s_check",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
}
metadata = MetaData(naming_convention=NAMING)
Moment = DateTime(timezone=True)
