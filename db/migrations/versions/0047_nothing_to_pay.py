"""orders that cost nothing ask nobody for money

Revision ID: 0047
Revises: 0046
"""

from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None


def upgrade() -> None:
    rule = "provider <> 'nothing' OR amount = 0"
    op.create_check_constraint(op.f("ck_payments_nothing_is_asked_of_nobody"), "payments", rule)
