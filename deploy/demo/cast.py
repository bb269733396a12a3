"""Who takes part in the day: three enterprises with their branches, and what is sold to them."""

from __future__ import annotations

from typing import NamedTuple


class Enterprise(NamedTuple):
    account: str
    name: str
    country: str
    timezone: str
    email: str
    boss_email: str
    legal_name: str
    tax_id: str
    address: str
    actor: str
    bank_reference: str
    currency: str


class Branch(NamedTuple):
    """A branch; `allotted` is what it gets from its top account in the morning (0: it is shared)."""

    account: str
    parent: str
    name: str
    email: str
    allotted: int = 0

    @property
    def top(self) -> str:
        return self.account.partition("-")[0]

    @property
    def funding(self) -> str:
        return "own" if self.allotted else "shared"


ENTERPRISES = (
    Enterprise(
        account="huaxin",
        name="华信物联科技有限公司",
        country="CN",
        timezone="Asia/Shanghai",
        email="finance@huaxin.example",
        boss_email="zhang.wei@huaxin.example",
        legal_name="上海华信物联科技有限公司",
        tax_id="91310000MA1FL0XX0X",
        address="上海市浦东新区张江路 88 号",
        actor="li.na@huaxin.example",
        bank_reference="ICBC",
        currency="CNY",
    ),
    Enterprise(
        account="rheintal",
        name="Rheintal Flottentechnik GmbH",
        country="DE",
        timezone="Europe/Berlin",
        email="buchhaltung@rheintal.example",
        boss_email="j.schaefer@rheintal.example",
        legal_name="Rheintal Flottentechnik GmbH & Co. KG",
        tax_id="DE123456789",
        address="Hafenstraße 12, 50667 Köln",
        actor="anke.müller@rheintal.example",
        bank_reference="SEPA",
        currency="EUR",
    ),
    Enterprise(
        account="solsur",
        name="Soluciones Logísticas del Sur S.L.",
        country="ES",
        timezone="Europe/Madrid",
        email="administracion@solsur.example",
        boss_email="c.ibanez@solsur.example",
        legal_name="Soluciones Logísticas del Sur, Sociedad Limitada",
        tax_id="ESB12345678",
        address="Calle de la Peña 7, 41001 Sevilla",
        actor="maría.núñez@solsur.example",
        bank_reference="IBAN",
        currency="EUR",
    ),
)

BRANCHES = (
    Branch("huaxin-shanghai", "huaxin", "上海分公司", "shanghai@huaxin.example", 120_000),
    Branch("huaxin-pudong", "huaxin-shanghai", "浦东营业部", "pudong@huaxin.example"),
    Branch("huaxin-minhang", "huaxin-shanghai", "闵行营业部", "minhang@huaxin.example"),
    Branch("huaxin-beijing", "huaxin", "北京分公司", "beijing@huaxin.example", 6_000),
    Branch("huaxin-haidian", "huaxin-beijing", "海淀服务点", "haidian@huaxin.example"),
    Branch("huaxin-shenzhen", "huaxin", "深圳分公司", "shenzhen@huaxin.example"),
    Branch("rheintal-koeln", "rheintal", "Niederlassung Köln", "koeln@rheintal.example", 90_000),
    Branch("rheintal-ehrenfeld", "rheintal-koeln", "Werkstatt Ehrenfeld", "ehrenfeld@rheintal.example"),
    Branch("rheintal-muenchen", "rheintal", "Niederlassung München", "muenchen@rheintal.example", 5_000),
    Branch("rheintal-hafen", "rheintal", "Lager Düsseldorfer Hafen", "hafen@rheintal.example"),
    Branch("solsur-sevilla", "solsur", "Delegación de Sevilla", "sevilla@solsur.example", 80_000),
    Branch("solsur-triana", "solsur-sevilla", "Taller de Triana", "triana@solsur.example"),
    Branch("solsur-malaga", "solsur", "Delegación de Málaga", "malaga@solsur.example", 4_000),
    Branch("solsur-cadiz", "solsur", "Muelle de Cádiz", "cadiz@solsur.example"),
    Branch("solsur-cordoba", "solsur", "Depósito de Córdoba", "cordoba@solsur.example", 2_000),
)

# What a top account gets in the morning, in two recharges; both are far more than what is drawn on it.
RECHARGES = {"huaxin": (300_000, 150_000), "rheintal": (220_000, 80_000), "solsur": (180_000, 60_000)}
CREDIT_LIMITS = {"rheintal": 20_000}

# Where devices are bought all day: these have enough for it, whatever order two producers' commands come in.
BUYERS = (
    "huaxin-shanghai",
    "huaxin-pudong",
    "huaxin-minhang",
    "huaxin-shenzhen",
    "rheintal-koeln",
    "rheintal-ehrenfeld",
    "rheintal-hafen",
    "solsur-sevilla",
    "solsur-triana",
    "solsur-cadiz",
)
# These run out of coins during the day.
SHORT_OF_COINS = ("huaxin-beijing", "huaxin-haidian", "rheintal-muenchen", "solsur-malaga")
SUSPENDED = "solsur-cordoba"
RECALLED_FROM = "rheintal-koeln"
RECALLED = 15_000

PLANS: tuple[dict[str, object], ...] = (
    {
        "plan": "tracker-year",
        "name": "Tracker (year)",
        "kind": "onboarding",
        "price": 110,
        "cycle": {"unit": "year", "count": 1},
    },
    {
        "plan": "tracker-month",
        "name": "Tracker (month)",
        "kind": "onboarding",
        "price": 12,
        "cycle": {"unit": "month", "count": 1},
    },
    {
        "plan": "renew-year",
        "name": "Renewal (year)",
        "kind": "renewal",
        "price": 96,
        "cycle": {"unit": "year", "count": 1},
    },
    {
        "plan": "renew-month",
        "name": "Renewal (month)",
        "kind": "renewal",
        "price": 10,
        "cycle": {"unit": "month", "count": 1},
    },
    {"plan": "by-agreement", "name": "Special fleet, price by agreement", "kind": "onboarding"},
)
