"""One visit: what a customer does in the shop, in some minutes."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from typing import Any

from deploy.demo import shop
from deploy.demo.shop import App, Product

ORDERS_OF_A_CUSTOMER = 1_000
"""The number of an order is that of the customer times this, and the customer's orders."""
_SEARCHED = ("espresso", "decaf", "filter", "grinder", "gift", "tea")
_TOPICS = ("delivery", "payment", "machine", "return")


class Visit:
    """Collects the events of a visit, with their times since its beginning."""

    def __init__(self, app: App, address: tuple[str, str], chance: Random) -> None:
        self.events: list[tuple[timedelta, dict[str, Any]]] = []
        self._app = app
        self._country, self._city = address
        self._chance = chance
        self._after = 0.0

    def add(
        self, after: timedelta, event: str, properties: dict[str, Any], context: dict[str, Any] | None = None
    ) -> None:
        """Add an event at *after*, with what its context has beside that of the program."""
        item = {"type": "track", "event": event, "properties": properties}
        self.events.append((after, item | ({"context": context} if context else {})))

    def shop(self, last_order: int, *, is_new: bool) -> int:
        """Add what a customer does whose last order has the number *last_order*; return the last one afterwards."""
        chance = self._chance
        source, medium = chance.choices(shop.CAMPAIGNS, shop.CAMPAIGN_WEIGHTS)[0]
        campaign, context = _campaign(source, medium)
        self._next("Visit Started", {"platform": self._app.platform, **campaign}, 0, context)
        if is_new:
            method = chance.choice(("email", "email", "google", "apple"))
            self._next("Signed Up", {"method": method, **campaign}, 30, context)
        if chance.random() < 0.25:
            found = chance.randrange(9)
            self._next("Products Searched", {"query": chance.choice(_SEARCHED), "results": found}, 20)
        cart: dict[Product, int] = {}
        for _ in range(chance.choices((1, 2, 3, 5, 8), (30, 30, 20, 15, 5))[0]):
            product = chance.choices(shop.PRODUCTS, shop.POPULARITY)[0]
            position = chance.randrange(1, 13)
            self._next("Product Viewed", {**self._described(product), "position": position}, 50)
            if chance.random() < 0.45 - 0.025 * position:
                cart[product] = quantity = chance.choice((1, 1, 1, 2, 3))
                self._next("Product Added", {**self._described(product), "quantity": quantity}, 15)
        if cart and chance.random() < 0.75:
            self._next("Checkout Started", {"products": len(cart)}, 30)
            if chance.random() < 0.7:
                last_order += 1
                self._order(cart, last_order)
        if chance.random() < 0.03:
            waited = round(chance.expovariate(1 / 6), 1)
            self._next("Support Requested", {"topic": chance.choice(_TOPICS), "waitedMinutes": waited}, 200)
        return last_order

    def _next(
        self, event: str, properties: dict[str, Any], mean_seconds: float, context: dict[str, Any] | None = None
    ) -> None:
        """Add an event some time after the one before it."""
        self._after += mean_seconds and 1 + self._chance.expovariate(1 / mean_seconds)
        self.add(timedelta(seconds=round(self._after, 3)), event, properties, context)

    def _described(self, product: Product) -> dict[str, Any]:
        return {"sku": product.sku, "category": product.category, "price": self._amount(product.price)}

    def _order(self, cart: dict[Product, int], number: int) -> None:
        chance = self._chance
        subtotal = sum(product.price * quantity for product, quantity in cart.items())
        coupon = chance.choice(("SPRING", "WELCOME")) if chance.random() < 0.15 else None
        total = round(subtotal * (0.9 if coupon else 1), 2)
        coupon_name = "couponCode" if (self._app.platform, self._app.version) == shop.OLD_COUPON else "coupon"
        is_camel_case = self._app.platform == shop.CAMEL_CASE
        order = {
            "orderId" if is_camel_case else "order_id": str(number) if is_camel_case else number,
            "total": self._amount(total),
            coupon_name: coupon,
            "first": number % ORDERS_OF_A_CUSTOMER == 1,
            "products": [
                {"sku": product.sku, "price": product.price, "quantity": quantity} for product, quantity in cart.items()
            ],
            "shipping": {"city": self._city, "country": self._country, "days": chance.choice((1, 2, 2, 3, 5))},
        }
        self._next("orderCompleted" if is_camel_case else "Order Completed", order, 60)
        if chance.random() < 0.04:
            # Days later, without a visit.
            later = timedelta(days=chance.randrange(2, 9), seconds=self._after)
            self.add(later, "Order Refunded", {"order_id": number, "total": self._amount(total)})

    def _amount(self, value: float) -> float | str:
        """Return an amount as this version sends it."""
        if (self._app.platform, self._app.version) != shop.TEXT_PRICES:
            return value
        text = f"{value:.2f}"
        return text.replace(".", ",") if self._country == shop.COMMA_PRICES_OF else text


def _campaign(source: str | None, medium: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the properties of a campaign, and the context as Segment's libraries send it."""
    if source is None or medium is None:
        return {}, {}
    campaign = {"source": source, "medium": medium, "name": shop.CAMPAIGN_NAMES[medium]}
    return {"utm.source": source, "utm.medium": medium}, {"campaign": campaign}
