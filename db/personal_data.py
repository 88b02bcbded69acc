"""Where people are in the tables: what is exported when they ask for it, and what goes when they want to be forgotten.

A test holds this list to the tables: a column that looks as if somebody could be in it stands here, in one of the two
tuples.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from domain.erasures import NO_MAIL, NOBODY

ERASED = f"'{NOBODY}'"
NO_ADDRESS = f"""
    CASE WHEN shipping_address IS NOT NULL THEN jsonb_build_object(
        'name', {ERASED}, 'line1', {ERASED}, 'city', {ERASED}, 'postal_code', {ERASED},
        'region', shipping_address -> 'region', 'country', shipping_address -> 'country'
    ) END
"""
"""Country and region stay: which taxes were due depends on them, and nobody can be found by them."""

NO_EMAIL = f"CASE WHEN email IS NOT NULL THEN '{NO_MAIL}' END"

OF_ORDERS = "order_id = ANY(:orders)"
OF_SESSIONS = "session_id IN (SELECT id FROM login_sessions WHERE user_id = :user_id)"
OF_CONFIRMATIONS = "confirmation_id IN (SELECT id FROM confirmations WHERE user_id = :user_id)"
OF_STORE_CREDIT = "account_id IN (SELECT id FROM credit_accounts WHERE user_id = :user_id)"
OF_RETURNS = "return_id IN (SELECT id FROM returns WHERE order_id = ANY(:orders))"
OF_BUYERS = "customer_hash IN (SELECT customer_hash FROM promotion_uses WHERE order_id = ANY(:orders))"
OF_PARCELS = "fulfillment_id IN (SELECT id FROM fulfillments WHERE order_id = ANY(:orders))"


@dataclass(frozen=True, kw_only=True)
class Held:
    """Rows about a person, known by ``:user_id``, ``:orders`` and ``:carts``; what each personal column becomes."""

    table: str
    whose: str
    becomes: Mapping[str, str] = field(default_factory=dict)
    is_deleted: bool = False
    is_exported: bool = True


HELD = (
    Held(
        table="users",
        whose="id = :user_id",
        becomes={
            "username": f"'{NOBODY}-' || replace(id::text, '-', '')",
            "email": f"id || '@{NOBODY}.invalid'",
            "password_hash": ERASED,
        },
    ),
    Held(
        table="tax_exemptions",
        whose="user_id = :user_id",
        becomes={"certificate": "goes with its row"},
        is_deleted=True,
    ),
    Held(table="login_sessions", whose="user_id = :user_id", becomes={"user_agent": "NULL", "network": "NULL"}),
    Held(
        table="addresses",
        whose="user_id = :user_id",
        becomes=dict.fromkeys(("name", "line1", "line2", "city", "postal_code", "phone"), "goes with its row"),
        is_deleted=True,
    ),
    Held(table="group_members", whose="user_id = :user_id", is_deleted=True),
    Held(table="credit_accounts", whose="user_id = :user_id"),
    Held(table="credit_entries", whose=OF_STORE_CREDIT),
    Held(table="confirmations", whose="user_id = :user_id", becomes={"email": NO_EMAIL}),
    Held(table="recovery_codes", whose="user_id = :user_id", is_deleted=True, is_exported=False),
    Held(table="second_factors", whose="user_id = :user_id", is_deleted=True, is_exported=False),
    Held(table="mailed_tokens", whose=OF_CONFIRMATIONS, is_deleted=True, is_exported=False),
    Held(table="refresh_tokens", whose=OF_SESSIONS, is_deleted=True, is_exported=False),
    Held(table="carts", whose="id = ANY(:carts)", becomes={"email": "NULL", "shipping_address": "NULL"}),
    Held(table="cart_items", whose="cart_id = ANY(:carts)"),
    Held(table="cart_reminders", whose="cart_id = ANY(:carts)", is_deleted=True, is_exported=False),
    Held(
        table="idempotency_keys",
        whose="split_part(caller, ':', 2) = CAST(CAST(:user_id AS uuid) AS text) OR cart_id = ANY(:carts)",
        becomes={"key": "chosen by the client", "answer": "goes with its key"},
        is_deleted=True,
    ),
    Held(table="checkouts", whose=f"{OF_ORDERS} OR cart_id = ANY(:carts)", becomes={"answer": "NULL"}),
    Held(
        table="orders",
        whose="id = ANY(:orders)",
        becomes={"email": f"'{NO_MAIL}'", "shipping_address": NO_ADDRESS},
    ),
    Held(
        table="promotion_customers",
        whose=OF_BUYERS,
        is_deleted=True,
        is_exported=False,
    ),
    Held(table="promotion_uses", whose=OF_ORDERS, becomes={"customer_hash": "NULL"}),
    Held(table="address_changes", whose=OF_ORDERS, becomes={"address": "NULL"}),
    Held(table="order_lines", whose=OF_ORDERS),
    Held(table="order_events", whose=OF_ORDERS),
    Held(table="payments", whose=OF_ORDERS),
    Held(table="refunds", whose=OF_ORDERS, becomes={"reason": ERASED}),
    Held(table="cancellations", whose=OF_ORDERS, becomes={"reason": ERASED}),
    Held(table="fulfillments", whose=OF_ORDERS),
    Held(table="carrier_messages", whose=OF_PARCELS),
    Held(table="fulfillment_items", whose=OF_PARCELS),
    Held(table="returns", whose=OF_ORDERS),
    Held(table="return_items", whose=OF_RETURNS, becomes={"reason": ERASED}),
    Held(table="disputes", whose=OF_ORDERS),
)
"""In the order in which they are erased: what says whose something is comes before what says who that is."""

NOT_PERSONAL = frozenset(
    {
        "api_keys.name",  # a machine's
        "attributes.name",
        "audit_log.note",  # struck out by `forget_words`, for nobody may change that table
        "breaches.words",  # ids and sums
        "carrier_messages.message_id",
        "carrier_messages.tracking_number",
        "carriers.easypost_name",
        "carriers.name",
        "carriers.tracking_url",
        "catalog_exports.examples",
        "catalog_import_errors.message",
        "categories.name",
        "category_translations.name",
        "changed_limits.name",
        "changed_log_level.level",
        "concerns.detail",  # sums and dates
        "credit_entries.reason",  # one of few words
        "customer_groups.name",
        "disputes.reason",  # a code of the provider's
        "disputes.reference",
        "fulfillments.tracking_number",  # the carrier's
        "fulfillments.tracking_status",
        "late_money.reference",
        "listed_products.highest_prices",
        "listed_products.labels",
        "listed_products.lowest_prices",
        "listed_products.name",
        "locations.name",
        "order_events.data",  # ids, sums and codes
        "order_lines.name",
        "orders.cancel_reason",  # a code
        "orders.pricing",  # promotions and taxes by name, with amounts
        "outbox.payload",  # ids, sums and codes
        "event_cursors.name",
        "payments.provider_reference",  # the provider's; a bank transfer's is among the words of the audit log
        "price_lists.name",
        "product_translations.name",
        "products.name",
        "promotions.name",
        "promotions.rule",  # goods, groups and amounts
        "refunds.provider_reference",
        "shipping_methods.name",
        "shipping_areas.postal_prefix",
        "shipping_zones.name",
        "stock_movements.reason",  # of goods
        "tax_answers.answer",
        "tax_rates.name",
        "tax_regions.postal_prefix",
        "variants.name",
        "variants.options",
        "webhook_events.payload",  # ids
        "webhook_attempts.said",  # by servers of others, to events in which nobody is; forgotten after a month
        "webhook_endpoints.pause_reason",  # a code
    }
)
"""Columns that look as if somebody could be in them, and why nobody is."""
