from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedValkey, unlink_address
from tests.desk import LedgerDesk
from tests.workers.jobs.billing_desk import BillingDesk
from tests.workers.jobs.clockwork import Clockwork
from tests.workers.jobs.run_rows import Runs


@pytest.fixture
def clockwork(desk: LedgerDesk, database_url: str, tmp_path: Path) -> Iterator[Clockwork]:
    """Jobs on the ledger of the desk."""
    made = Clockwork(desk, database_url, tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="session")
def edge_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Valkey for what jobs publish."""
    valkey = EmbeddedValkey(tmp_path_factory.mktemp("edge"), durable=False)
    valkey.start()
    try:
        yield valkey.url
    finally:
        valkey.stop()
        unlink_address(valkey.data_dir)


@pytest.fixture
def billing(desk: LedgerDesk, database_url: str, edge_url: str, tmp_path: Path) -> Iterator[BillingDesk]:
    """The billing cycle on the ledger of the desk."""
    made = BillingDesk(desk, database_url, edge_url, tmp_path)
    yield made
    made.close()


@pytest.fixture
def runs(database_url: str, tmp_path: Path) -> Iterator[Runs]:
    """Rows of runs, by hand."""
    made = Runs(database_url, tmp_path)
    yield made
    made.connection.close()
