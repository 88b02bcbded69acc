"""products and categories in several languages

Revision ID: 0043
Revises: 0042
"""

import sqlalchemy as sa
from alembic import op

revision = "0043"
down_revision = "0042"
branch_labels = None
depends_on = None

LANGUAGE_FORM = "language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'"


def upgrade() -> None:
    for thing, things in (("product", "products"), ("category", "categories")):
        table = f"{thing}_translations"
        op.create_table(
            table,
            sa.Column(f"{thing}_id", sa.UUID(), nullable=False),
            sa.Column("language", sa.String(), nullable=False),
            sa.Column("name", sa.String(), nullable=False),
            *([sa.Column("description", sa.String(), server_default="", nullable=False)] if thing == "product" else []),
            sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
            sa.CheckConstraint(LANGUAGE_FORM, name=op.f(f"ck_{table}_language_form")),
            sa.CheckConstraint("name <> ''", name=op.f(f"ck_{table}_name_not_empty")),
            sa.ForeignKeyConstraint(
                [f"{thing}_id"], [f"{things}.id"], name=op.f(f"fk_{table}_{thing}_id"), ondelete="CASCADE"
            ),
            sa.PrimaryKeyConstraint(f"{thing}_id", "language", name=op.f(f"pk_{table}")),
        )
    op.execute(
        """
        CREATE FUNCTION tell_of_product_translations() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM tell_catalog_news(TG_TABLE_SCHEMA, (SELECT array_agg(DISTINCT product_id) FROM changed), true);
            RETURN NULL;
        END $$
        """
    )
    for event, rows in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        op.execute(
            f"""
            CREATE TRIGGER product_translations_news_{event.lower()} AFTER {event} ON product_translations
            REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_of_product_translations()
            """
        )
    op.execute(
        """
        CREATE TRIGGER category_translations_news AFTER INSERT OR UPDATE OR DELETE ON category_translations
        FOR EACH STATEMENT EXECUTE FUNCTION tell_of_categories()
        """
    )
    languages: sa.Column[list[str] | None] = sa.Column("languages", sa.ARRAY(sa.String()), nullable=True)
    op.add_column("carts", languages)
