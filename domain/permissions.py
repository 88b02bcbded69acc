"""Who may what: each route names one permission, each role is granted some, and nothing else is allowed."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

from domain.customers import Role


class Permission(StrEnum):
    # what everybody may, also without an account
    PROBE = "probe"
    """Whether it runs and how it is called: health, metrics, public keys, documentation."""
    SHOP = "shop"
    """Goods, carts, checkouts, and what comes of them: a customer's own, or a guest's who knows the cart."""
    SIGN_IN = "sign_in"
    """The way to an account and into it; each call brings what proves that it may."""
    NOTIFY = "notify"
    """News of partners, which sign them."""
    # what people with an account may with what is their own
    ACCOUNT = "account"
    # what the shop's people and machines may, with what is anybody's
    CARTS_ASSIST = "carts.assist"
    ORDERS_READ = "orders.read"
    ORDERS_FULFIL = "orders.fulfil"
    ORDERS_CANCEL = "orders.cancel"
    ORDERS_RESOLVE = "orders.resolve"
    PAYMENTS_NOTE = "payments.note"
    PAYMENTS_REFUND = "payments.refund"
    RETURNS_DECIDE = "returns.decide"
    CREDIT_READ = "credit.read"
    """Gift cards, as far as anybody can see them, and customers' store credit."""
    CREDIT_WRITE = "credit.write"
    CATALOG_READ = "catalog.read"
    """Also what the public does not see."""
    CATALOG_TRANSFER = "catalog.transfer"
    """In files: imports and exports."""
    CATALOG_WRITE = "catalog.write"
    PROMOTIONS_READ = "promotions.read"
    PROMOTIONS_WRITE = "promotions.write"
    STOCK_READ = "stock.read"
    STOCK_WRITE = "stock.write"
    LOCATIONS_WRITE = "locations.write"
    GROUPS_READ = "groups.read"
    GROUPS_WRITE = "groups.write"
    """Which customer groups there are, and who is in them."""
    PRICES_READ = "prices.read"
    PRICES_WRITE = "prices.write"
    """Price lists, and their prices."""
    SHIPPING_READ = "shipping.read"
    """Where the shop sends to, and what that costs."""
    SHIPPING_WRITE = "shipping.write"
    TAXES_READ = "taxes.read"
    TAXES_WRITE = "taxes.write"
    TAXES_EXEMPT = "taxes.exempt"
    """Who pays no tax."""
    BREACHES_READ = "breaches.read"
    EVENTS_READ = "events.read"
    """All that has happened to all orders, as other systems hear it."""
    WEBHOOKS_READ = "webhooks.read"
    """Where events are sent to, and what came of it."""
    WEBHOOKS_WRITE = "webhooks.write"
    AUDIT_READ = "audit.read"
    KEYS_MANAGE = "keys.manage"
    STAFF_MANAGE = "staff.manage"
    """Who is of the staff, and helping people with their accounts."""
    LIMITS_READ = "limits.read"
    LIMITS_WRITE = "limits.write"
    LOGS_LEVEL = "logs.level"
    """What the shop's processes write into their log."""
    MAINTENANCE = "maintenance"
    """Letting customers change nothing for a while."""
    PEOPLE_ERASE = "people.erase"
    ENGINE_READ = "engine.read"
    """What workflows carry, decrypted."""


OPEN = frozenset({Permission.PROBE, Permission.SHOP, Permission.SIGN_IN, Permission.NOTIFY})
"""Granted to everybody."""

OWN = OPEN | {Permission.ACCOUNT}

SUPPORT = OWN | {
    Permission.CARTS_ASSIST,
    Permission.ORDERS_READ,
    Permission.CREDIT_READ,
    Permission.CATALOG_READ,
    Permission.PROMOTIONS_READ,
    Permission.STOCK_READ,
    Permission.GROUPS_READ,
    Permission.PRICES_READ,
    Permission.SHIPPING_READ,
}

OPERATOR = SUPPORT | {
    Permission.ORDERS_FULFIL,
    Permission.ORDERS_CANCEL,
    Permission.ORDERS_RESOLVE,
    Permission.PAYMENTS_NOTE,
    Permission.PAYMENTS_REFUND,
    Permission.RETURNS_DECIDE,
    Permission.CREDIT_WRITE,
    Permission.CATALOG_TRANSFER,
    Permission.STOCK_WRITE,
    Permission.TAXES_READ,
    Permission.TAXES_EXEMPT,
    Permission.BREACHES_READ,
    Permission.EVENTS_READ,
    Permission.WEBHOOKS_READ,
    Permission.WEBHOOKS_WRITE,
    Permission.LIMITS_READ,
    Permission.PEOPLE_ERASE,
    Permission.ENGINE_READ,
}

GRANTED: Mapping[Role, frozenset[Permission]] = {
    Role.CUSTOMER: OWN,
    Role.SUPPORT: SUPPORT,
    Role.OPERATOR: OPERATOR,
    Role.ADMIN: frozenset(Permission),
}

FOR_KEYS = frozenset(Permission) - OPEN - {Permission.ACCOUNT, Permission.KEYS_MANAGE, Permission.STAFF_MANAGE}
"""What API keys can be made for: a machine has no account, and makes no keys."""

WITH_ORDERS = frozenset(
    {
        Permission.ORDERS_FULFIL,
        Permission.ORDERS_CANCEL,
        Permission.ORDERS_RESOLVE,
        Permission.PAYMENTS_NOTE,
        Permission.PAYMENTS_REFUND,
        Permission.RETURNS_DECIDE,
    }
)


def granted_to_key(scopes: Iterable[Permission]) -> frozenset[Permission]:
    """Whoever acts on orders is answered with them, and so may read them."""
    named = FOR_KEYS.intersection(scopes)
    return OPEN | named | ({Permission.ORDERS_READ} if named & WITH_ORDERS else set())
