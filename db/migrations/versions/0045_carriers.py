"""carriers, the pages on which they tell how far a parcel is, and what they tell the shop

Revision ID: 0045
Revises: 0044
"""

import sqlalchemy as sa
from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

KNOWN = {
    "dhl": ("DHL", "https://www.dhl.com/en/express/tracking.html?AWB={number}"),
    "dpd": ("DPD", "https://www.dpd.com/tracking?parcelNumber={number}"),
    "fedex": ("FedEx", "https://www.fedex.com/fedextrack/?trknbr={number}"),
    "gls": ("GLS", "https://gls-group.com/track/{number}"),
    "royal-mail": ("Royal Mail", "https://www.royalmail.com/track-your-item#/tracking-results/{number}"),
    "ups": ("UPS", "https://www.ups.com/track?tracknum={number}"),
    "usps": ("USPS", "https://tools.usps.com/go/TrackConfirmAction?tLabels={number}"),
}


def upgrade() -> None:
    carriers = op.create_table(
        "carriers",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tracking_url", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.CheckConstraint(
            "tracking_url ~ '^https://' AND tracking_url LIKE '%{number}%'",
            name=op.f("ck_carriers_tracking_url_form"),
        ),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_carriers")),
    )
    op.bulk_insert(
        carriers, [{"code": code, "name": name, "tracking_url": url} for code, (name, url) in KNOWN.items()]
    )
    create_messages()


def create_messages() -> None:
    statuses = "'announced', 'in_transit', 'out_for_delivery', 'awaits_pickup', 'delivered', 'returning', 'failed'"
    op.create_table(
        "carrier_messages",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("provider", sa.String(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("tracking_number", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fulfillment_id", sa.UUID(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.CheckConstraint(f"status IN ({statuses})", name=op.f("ck_carrier_messages_status")),
        sa.CheckConstraint(
            "outcome IN ('noted', 'outdated', 'no_news', 'refused')", name=op.f("ck_carrier_messages_outcome")
        ),
        sa.ForeignKeyConstraint(
            ["fulfillment_id"], ["fulfillments.id"], name=op.f("fk_carrier_messages_fulfillment_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_carrier_messages")),
    )
    for name, columns, which in (
        ("uq_carrier_messages_provider_message_id", ["provider", "message_id"], None),
        ("ix_carrier_messages_fulfillment_id", ["fulfillment_id"], None),
        ("ix_carrier_messages_waiting", ["received_at"], sa.text("outcome IS NULL")),
        ("ix_carrier_messages_unknown", ["id"], sa.text("fulfillment_id IS NULL")),
    ):
        is_unique = name.startswith("uq_")
        op.create_index(name, "carrier_messages", columns, unique=is_unique, postgresql_where=which)
    op.add_column("fulfillments", sa.Column("tracking_status", sa.String(), nullable=True))
    op.add_column("fulfillments", sa.Column("tracked_at", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_fulfillments_tracking_status"), "fulfillments", f"tracking_status IN ({statuses})"
    )
    op.create_check_constraint(
        op.f("ck_fulfillments_tracked_has_time"), "fulfillments", "(tracking_status IS NULL) = (tracked_at IS NULL)"
    )
    op.create_index(
        "ix_fulfillments_tracking_number",
        "fulfillments",
        ["tracking_number"],
        postgresql_where=sa.text("tracking_number IS NOT NULL"),
    )
