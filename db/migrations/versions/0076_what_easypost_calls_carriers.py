"""what EasyPost calls the carriers, so that it can be asked to tell of their parcels

Revision ID: 0076
Revises: 0079
"""

import sqlalchemy as sa
from alembic import op

revision = "0076"
down_revision = "0079"
branch_labels = None
depends_on = None

KNOWN = {
    "dhl": "DHLExpress",
    "dpd": "DPD",
    "fedex": "FedEx",
    "gls": "GLS",
    "royal-mail": "RoyalMail",
    "ups": "UPS",
    "usps": "USPS",
}


def upgrade() -> None:
    op.add_column("carriers", sa.Column("easypost_name", sa.String(), nullable=True))
    carriers = sa.table("carriers", sa.column("code"), sa.column("easypost_name"))
    for code, name in KNOWN.items():
        op.execute(carriers.update().where(carriers.c.code == code).values(easypost_name=name))
