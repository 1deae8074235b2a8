"""Order number i: the same in every language (see ../README.md)."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

MASK = (1 << 64) - 1
SALE_BEGINS = datetime(2024, 11, 29, 14, 15, tzinfo=timezone.utc)
STATUSES = ("NEW", "PAID", "SHIPPED")


def mix(x):
    """The output function of SplitMix64."""
    z = (x + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def make_uuid(a, b):
    """Two numbers as a UUID of version 4."""
    return uuid.UUID(bytes=a.to_bytes(8, "big") + b.to_bytes(8, "big"), version=4)


def cents(amount):
    """An amount in cents as a decimal of scale 2."""
    return Decimal(amount).scaleb(-2)


@dataclass(frozen=True)
class Item:
    sku: str
    quantity: int
    price: Decimal


@dataclass(frozen=True)
class Order:
    order_id: uuid.UUID
    customer_id: uuid.UUID
    day: date
    placed_at: datetime
    status: str
    total: Decimal
    currency: str
    items: tuple
    version: int
    note: str


def order(seed, customers, i):
    """Order number i of a seed."""
    base = mix(seed & MASK) + 16 * i

    def value(n):
        return mix((base + n) & MASK)

    customer = value(2) % customers
    placed_at = SALE_BEGINS + timedelta(milliseconds=6 * i // 5)
    count = 1 + value(4) % 3
    parts = [(value(5 + j) % 100000, 1 + value(8 + j) % 5, 1 + value(11 + j) % 10000) for j in range(count)]
    return Order(
        order_id=make_uuid(value(0), value(1)),
        customer_id=make_uuid(mix(2 * customer), mix(2 * customer + 1)),
        day=placed_at.date(),
        placed_at=placed_at,
        status=STATUSES[value(3) % 3],
        total=cents(sum(quantity * price for _, quantity, price in parts)),
        currency="EUR",
        items=tuple(Item(f"SKU-{sku:05d}", quantity, cents(price)) for sku, quantity, price in parts),
        version=1,
        note=f"order {i} – λ✓",
    )
