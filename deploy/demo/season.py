"""Three months in some seconds: what runs by itself, by a clock that the demo sets.

Jobs take the clock as a value; commands are decided when they come in. So the months are simulated for whoever bills, warns
and duns, and what they cost is charged now.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from deploy.demo.producing import Outcome, Producers
from deploy.demo.screen import Screen
from deploy.demo.story import APPLIED, OFFICE, Message
from deploy.demo.system import System
from deploy.errors import DeployError, Interrupted
from deploy.up import COINS
from ledger.database import connect
from ledger.periods import Cycle, nth
from ledger.queries import jobs as runs
from ledger.queries.jobs import RunReport
from ledger.queries.receipts import content_of
from schedulers.schedule import JOBS
from workers.jobs import rows
from workers.jobs.performing import leases_kept, perform
from workers.logs import configure
from workers.receipts.stored import printed
from workers.settings import Settings, load

ZONE, BILLED_ZONE = "Asia/Shanghai", "Europe/Berlin"
ACCOUNT, SELLER, CUSTOMER = "orchid", "harbor", "quay"
SUBSCRIPTIONS = ("orchid-office", "orchid-proxies", "orchid-studio")
PRICE, FIRST, SECOND, GRANT, BOUGHT = 40, 400, 200, 300, 100
MONTHS = 3
LATE = timedelta(hours=1)
ANSWER_SECONDS = 30.0


@dataclass(slots=True)
class Season:
    """A season on a running system. `files`: where its mails, receipts and its workbook are put, to stay."""

    system: System
    screen: Screen
    settings: Settings
    files: Path
    interrupted: Callable[[], bool]
    connection: psycopg.Connection[Any]
    producers: Producers
    wrong: list[str] = field(default_factory=list)
    _sent: int = 0

    # What happens, in its order

    def pass_by(self) -> None:
        """Raises DeployError, Interrupted, and what servers' clients raise."""
        self.screen.headline("Three months, by a clock that jobs take as a value")
        began = self._open()
        self._job("receipts", datetime.now(UTC))
        mailing = self._mail_beside()
        try:
            last = self._months(began)
            self._heal(last)
            self._bill()
            self._file(last)
        finally:
            mailing.wait()
        self._job("receipts", datetime.now(UTC))
        self._job("mails", datetime.now(UTC))
        self._job("verification", last)
        self._hand_out()
        self._check()

    def _open(self) -> datetime:
        """An enterprise with three subscriptions, a reseller with a sponsored customer. When the first cycle began."""
        month = {"unit": "month", "count": 1}
        kinds = ("package", "proxy", "package")
        for kind in ("package", "proxy"):
            self._do(
                "PutPlan", plan=f"season-{kind}", name=f"Season {kind}", kind=kind, price=PRICE, cycle=month
            )
        self._do(
            "OpenAccount",
            account=ACCOUNT,
            parent="platform",
            kind="enterprise",
            name="兰花云科技",
            email="finance@orchid.example",
            boss_email="boss@orchid.example",
            timezone=ZONE,
            legal_name="兰花云科技（深圳）有限公司",
            tax_id="91440300MA5ORCHID9",
            address="深圳市南山区科技园 8 号",
        )
        self._do(
            "TopUp",
            account=ACCOUNT,
            amount=FIRST,
            reference="SEASON-1",
            payer="li.na@orchid.example",
            paid={"currency": "CNY", "amount": "2800.00"},
        )
        began = datetime.now(UTC)
        for subscription, kind in zip(SUBSCRIPTIONS, kinds, strict=True):
            self._do(
                "Subscribe", subscription=subscription, account=ACCOUNT, plan=f"season-{kind}", kind=kind
            )
        self._do("OpenAccount", account=SELLER, parent="platform", kind="reseller", name="Hafen & Söhne")
        self._do(
            "OpenAccount",
            account=CUSTOMER,
            parent=SELLER,
            kind="customer",
            name="Kai Müller",
            funding="sponsored",
            email="kai@quay.example",
            timezone=BILLED_ZONE,
        )
        self._do("TopUp", account=SELLER, amount=1_000)
        self._do("AllocateCredit", reseller=SELLER, customer=CUSTOMER, amount=GRANT)
        self._do(
            "DebitForDeviceOnboarding",
            account=CUSTOMER,
            devices=[f"QUAY-{n}" for n in range(5)],
            price=BOUGHT // 5,
        )
        self.screen.step(
            f"{ACCOUNT} has {FIRST} coins and three subscriptions at {PRICE} a month; the first cycles are paid"
        )
        return began

    def _months(self, began: datetime) -> datetime:
        """Each month billing runs when it is due. By which clock it ended."""
        at = began
        for month in range(1, MONTHS + 1):
            at = nth(began, Cycle("month", 1), month, ZONE) + LATE
            billed = self._job("billing-cycle", at)
            scanned = self._job("threshold-scan", at)
            self.screen.step(f"{at:%Y-%m-%d}: billing: {billed.result}; warnings: {scanned.result}")
        return at

    def _heal(self, at: datetime) -> None:
        """What is past due is tried again as soon as coins come in."""
        owing = self._statuses().count("past_due")
        self._expect("past due before the coins come in", owing, 2)
        self._do("TopUp", account=ACCOUNT, amount=SECOND, reference="SEASON-2")
        self._job("threshold-scan", at + LATE)
        billed = self._job("billing-cycle", at + 2 * LATE)
        self.screen.step(f"{SECOND} coins come in: the {owing} that were past due heal: {billed.result}")

    def _bill(self) -> None:
        """The sponsored customer's month is over, and its reseller confirms the bill."""
        today = datetime.now(ZoneInfo(BILLED_ZONE))
        following = (today.replace(day=1) + timedelta(days=32)).replace(day=1, hour=1, minute=0)
        self._job("bills", following.astimezone(UTC))
        self._do("ConfirmBill", bill=f"{CUSTOMER}.{today:%Y-%m}", confirmed_by=SELLER)
        self.screen.step(
            f"the bill {CUSTOMER}.{today:%Y-%m} is issued and confirmed: {BOUGHT} return to the allotment"
        )

    def _file(self, at: datetime) -> None:
        self._do(
            "RequestExport",
            export="season",
            account=ACCOUNT,
            report="statement",
            filters={"subtree": True},
        )
        made = self._job("exports", at)
        self.screen.step(f"exports: {made.result}")

    # How it is done

    def _do(self, command: str, **data: Any) -> Outcome:
        """One command, as the back office sends it; its outcome, which has to be `applied`."""
        self._sent += 1
        body = {
            "specversion": "1.0",
            "id": f"season-{self._sent}",
            "source": OFFICE,
            "type": f"coins.{command}.v1",
            "data": data,
        }
        self.producers.publish([Message(json.dumps(body).encode(), OFFICE)])
        deadline = datetime.now(UTC) + timedelta(seconds=ANSWER_SECONDS)
        while self.producers.missing > 0:
            self.producers.listen(seconds=0.05)
            self.system.check()
            if self.interrupted():
                raise Interrupted("asked to stop")
            if datetime.now(UTC) > deadline:
                raise DeployError(f"{command} was not answered within {ANSWER_SECONDS:g} s")
        outcome = self.producers.outcomes[-1]
        if outcome.result != APPLIED:
            raise DeployError(f"{command} was refused: {outcome.result}: {outcome.message}")
        return outcome

    def _job(self, job: str, at: datetime) -> RunReport:
        """As `coins jobs run JOB --at …`. Raises DeployError where it is not done."""
        if self.interrupted():
            raise Interrupted("asked to stop")
        id_ = rows.ask(self.connection, job, at, "demo")
        perform(id_, JOBS, self.settings, owner="demo")
        run = runs.run(self.connection, id_)
        if run.state != "done":
            raise DeployError(f"{job} is {run.state}: {run.result or run.error}")
        return run

    def _mail_beside(self) -> subprocess.Popen[bytes]:
        """The mails of the day, receipts printed and all, while the months pass by."""
        data = str(self.settings.data_dir)
        return subprocess.Popen(
            [*COINS, "jobs", "run", "mails", "--data", data],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _statuses(self) -> list[str]:
        query = "SELECT status FROM subscription WHERE subscription = ANY(%s::text[])"
        return [status for (status,) in self.connection.execute(query, (list(SUBSCRIPTIONS),))]

    # What is to be looked at afterwards

    def _hand_out(self) -> None:
        """Copies that stay: the workbook, the receipts of the enterprise, every mail to it."""
        self.files.mkdir(parents=True, exist_ok=True)
        (path,) = self.connection.execute("SELECT path FROM export WHERE export = 'season'").fetchone() or (
            "",
        )
        shutil.copy(self.settings.files / path, self.files / "statement-orchid.xlsx")
        for number in self._receipts():
            (self.files / f"{number}.pdf").write_bytes(printed(content_of(self.connection, number)))
        (self.files / "mails").mkdir(exist_ok=True)
        for message_id, subject in self._mails():
            name = f"{message_id.strip('<>')}.eml"
            shown = "".join(one if one.isalnum() or one in " -%." else "_" for one in subject)[:80]
            shutil.copy(self.settings.mail_dir / name, self.files / "mails" / f"{shown} {name[:6]}.eml")

    def _receipts(self) -> list[str]:
        query = "SELECT r.number FROM receipt r JOIN account a ON a.id = r.account WHERE a.account = %s ORDER BY r.seq"
        return [number for (number,) in self.connection.execute(query, (ACCOUNT,))]

    def _mails(self) -> Sequence[tuple[str, str]]:
        return self.connection.execute(
            "SELECT m.message_id, m.subject FROM mail m JOIN account a ON a.id = m.account "
            "WHERE a.account = %s AND m.state = 'sent' ORDER BY m.id",
            (ACCOUNT,),
        ).fetchall()

    # Whether it adds up, reckoned by hand

    def _check(self) -> None:
        cycles = len(SUBSCRIPTIONS) * (1 + MONTHS)
        self._expect("subscriptions that are active", self._statuses().count("active"), len(SUBSCRIPTIONS))
        self._expect(
            "cycles",
            self._count("subscription_cycle", "subscription = ANY(%s::text[])", list(SUBSCRIPTIONS)),
            cycles,
        )
        self._expect(f"credit of {ACCOUNT}", self._credit(ACCOUNT), FIRST + SECOND - cycles * PRICE)
        self._expect(f"allotment of {CUSTOMER}", self._credit(CUSTOMER), GRANT)
        self._expect(f"credit of {SELLER}", self._credit(SELLER), 1_000 - BOUGHT)
        self._expect("receipts", len(self._receipts()), cycles + 2)
        subjects = [subject for _, subject in self._mails()]
        self._expect("mails of a low balance", sum("balance" in one.lower() for one in subjects) > 0, True)
        self._expect("mails that were not sent", self._count("mail", "state <> %s", "sent"), 0)
        self._expect(
            "rows of the workbook", self._one("SELECT rows FROM export WHERE export = 'season'"), cycles + 2
        )

    def _expect(self, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            self.wrong.append(f"season: {what}: {found}, not {expected}")

    def _credit(self, account: str) -> int:
        return int(self._one("SELECT credit FROM account WHERE account = %s", account))

    def _count(self, table: str, condition: str, value: Any) -> int:
        return int(self._one(f"SELECT count(*) FROM {table} WHERE {condition}", value))

    def _one(self, query: str, *values: Any) -> Any:
        (value,) = self.connection.execute(query.encode(), values).fetchone() or (None,)
        return value


def season(
    system: System, screen: Screen, data_dir: Path, files: Path, interrupted: Callable[[], bool]
) -> list[str]:
    """Show it; what does not add up."""
    settings = load(data_dir)
    configure(settings.log_format, level=logging.ERROR)  # what jobs do is told here
    producers = Producers(system.redis_url, only_new=True)
    try:
        with connect(system.database_url, name="demo season") as connection, leases_kept(settings, "demo"):
            shown = Season(system, screen, settings, files, interrupted, connection, producers)
            shown.pass_by()
            screen.step(f"the season's workbook, receipts (PDF) and mails are in {files}")
            return shown.wrong
    finally:
        producers.close()
