"""The shop of the sample: what it sells, with what its customers come, and when. Data."""

from __future__ import annotations

from typing import NamedTuple

FIRST_CUSTOMER = 10_001


class Product(NamedTuple):
    """Something that the shop sells."""

    sku: str
    name: str
    category: str
    price: float


PRODUCTS = (
    Product("C-01", "House Blend", "coffee", 9.5),
    Product("C-02", "Ethiopia Sidamo", "coffee", 14.9),
    Product("C-03", "Decaf", "coffee", 11.0),
    Product("C-04", "Espresso No. 4", "coffee", 12.5),
    Product("T-01", "Sencha", "tea", 8.9),
    Product("T-02", "Earl Grey", "tea", 6.5),
    Product("A-01", "Paper Filters", "accessories", 3.2),
    Product("A-02", "Hand Grinder", "accessories", 49.0),
    Product("A-03", "Scale", "accessories", 34.5),
    Product("M-01", "Espresso Machine", "machines", 389.0),
)
POPULARITY = (20, 12, 6, 15, 8, 6, 14, 4, 3, 1)
"""Weight of each product."""

ADDRESSES = (("DE", "Berlin"), ("DE", "Hamburg"), ("AT", "Wien"), ("CH", "Zürich"), ("FR", "Lyon"), ("US", "Boston"))
ADDRESS_WEIGHTS = (30, 18, 12, 8, 10, 6)
LOCALES = {"DE": "de-DE", "AT": "de-AT", "CH": "de-CH", "FR": "fr-FR", "US": "en-US"}


class App(NamedTuple):
    """A version of the program with which a customer comes; each sends in its own way."""

    platform: str
    version: str
    library: str


APPS = (
    App("web", "5.2.0", "analytics.js"),
    App("web", "4.9.1", "analytics.js"),
    App("ios", "2.4.0", "analytics-swift"),
    App("ios", "2.3.1", "analytics-swift"),
    App("android", "1.8.0", "analytics-android"),
)
APP_WEIGHTS = (46, 14, 22, 6, 12)

# Quirks of versions.
TEXT_PRICES = ("ios", "2.3.1")
"""Sends amounts as text."""
COMMA_PRICES_OF = "FR"
"""Where that version writes a decimal comma, which is no number."""
OLD_COUPON = ("web", "4.9.1")
"""Sends `couponCode`; all others `coupon`."""
CAMEL_CASE = "android"
"""Sends `orderCompleted`, and ids as numbers."""

CAMPAIGNS: tuple[tuple[str | None, str | None], ...] = (
    (None, None),
    ("google", "cpc"),
    ("google", "organic"),
    ("newsletter", "email"),
    ("instagram", "social"),
)
"""Source and medium of a visit; none if the customer typed the address."""
CAMPAIGN_NAMES = {"cpc": "summer-blends", "organic": "organic", "email": "monthly-roast", "social": "latte-art"}
"""Name of the campaign by medium."""
CAMPAIGN_WEIGHTS = (40, 18, 22, 14, 6)

PLANS = ("free", "pro", "team")
HOURS = (2, 1, 1, 1, 1, 2, 5, 9, 12, 12, 11, 12, 14, 13, 12, 12, 13, 16, 19, 21, 20, 15, 9, 4)
"""Weight of each hour of the day, in UTC."""
WEEKDAYS = (0.74, 0.7, 0.7, 0.74, 0.85, 1.0, 0.93)
"""Share of the planned visits that take place, from Monday; the others move to the next day."""
