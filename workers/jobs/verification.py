"""Everything is recomputed from the entries. What does not agree is told item by item, and the run has failed."""

from __future__ import annotations

from collections import defaultdict

from ledger.verify import verify
from workers.jobs.run import Run, RunFailed


def verify_ledger(run: Run) -> str:
    """Raises RunFailed where the ledger does not agree with itself."""
    found = verify(run.connection, run.say)
    if not found.differences:
        return f"{sum(found.checked.values()):,} rows agree, {len(found.checks)} checks"

    # Of one row there may be several.
    of: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for one in found.differences:
        of[one.check, one.where].append(f"expected {one.expected}, found {one.found}")

    def tell(_: object) -> None:
        for (check, where), told in of.items():
            run.item(f"{check}: {where}", "failed", check, "; ".join(told))

    run.transact(tell)
    raise RunFailed(f"{len(found.differences):,} differences; `coins verify` shows them as they are now")
