"""discounts and taxes by line, and what of an order's belongs to its shipping

Revision ID: 0039
Revises: 0038
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

RULES = {
    "order_lines": {
        "discount_within_line": "discount BETWEEN 0 AND line_total",
        "taxes_not_negative": "least(tax, included_tax) >= 0",
        "included_tax_within_line": "included_tax <= line_total - discount",
    },
    "orders": {
        "shipping_discount_within_shipping": "shipping_discount BETWEEN 0 AND least(shipping, discount)",
        "shipping_tax_within_tax": "shipping_tax BETWEEN 0 AND tax",
        "included_tax_within_total": "included_tax BETWEEN 0 AND total - tax",
    },
}


def upgrade() -> None:
    """Orders from before keep what they were: none of them has a discount or a tax."""
    for table, columns in (
        ("order_lines", ("discount", "tax", "included_tax")),
        ("orders", ("shipping_discount", "shipping_tax", "included_tax")),
    ):
        for column in columns:
            amount: sa.Column[int] = sa.Column(
                column, sa.BigInteger(), server_default=sa.text("0"), nullable=False
            )
            op.add_column(table, amount)
        for name, rule in RULES[table].items():
            op.create_check_constraint(op.f(f"ck_{table}_{name}"), table, rule)
    pricing: sa.Column[dict[str, object]] = sa.Column(
        "pricing", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False
    )
    op.add_column("orders", pricing)
