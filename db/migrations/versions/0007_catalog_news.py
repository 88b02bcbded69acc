"""tell listeners what changed in the catalogue

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

MOST_IDS = 100
"""Above that many products one message says that everything may have changed: a message has 8,000 bytes at most."""


def upgrade() -> None:
    op.execute(
        f"""
        CREATE FUNCTION tell_catalog_news(shop text, products uuid[], is_listing boolean) RETURNS void
        LANGUAGE plpgsql AS $$
        BEGIN
            IF cardinality(products) > {MOST_IDS} THEN
                PERFORM pg_notify('catalog_' || shop, json_build_object('all', true)::text);
            ELSIF cardinality(products) > 0 THEN
                PERFORM pg_notify('catalog_' || shop,
                                  json_build_object('products', products, 'listing', is_listing)::text);
            END IF;
        END $$
        """
    )
    tell_of("products", "SELECT array_agg(DISTINCT id) FROM changed")
    tell_of("variants", "SELECT array_agg(DISTINCT product_id) FROM changed")
    of_variants = "SELECT array_agg(DISTINCT product_id) FROM changed JOIN {0}.variants ON variants.id = variant_id"
    tell_of("prices", of_variants)
    tell_of("stock", of_variants, events=("INSERT", "DELETE"))
    tell_of_sales()
    tell_of_categories()


def tell_of(table: str, affected: str, events: tuple[str, ...] = ("INSERT", "UPDATE", "DELETE")) -> None:
    """One message a statement, delivered when its transaction commits, and never when it does not."""
    op.execute(
        f"""
        CREATE FUNCTION tell_of_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM tell_catalog_news(TG_TABLE_SCHEMA, ({affected.format(schema())}), true);
            RETURN NULL;
        END $$
        """
    )
    for event in events:
        rows = "OLD" if event == "DELETE" else "NEW"
        op.execute(
            f"""
            CREATE TRIGGER {table}_news_{event.lower()} AFTER {event} ON {table}
            REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_of_{table}()
            """
        )


def tell_of_sales() -> None:
    """Units come and go with every order; lists are concerned only when the last one goes or the first one comes."""
    op.execute(
        f"""
        CREATE FUNCTION tell_of_sales() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            products uuid[];
            is_listing boolean;
        BEGIN
            SELECT array_agg(DISTINCT variants.product_id),
                   coalesce(bool_or((before.on_hand > before.reserved) <> (changed.on_hand > changed.reserved)), false)
            INTO products, is_listing
            FROM changed
            JOIN before USING (variant_id, location)
            JOIN {schema()}.variants ON variants.id = changed.variant_id
            WHERE before.on_hand - before.reserved <> changed.on_hand - changed.reserved;
            PERFORM tell_catalog_news(TG_TABLE_SCHEMA, products, is_listing);
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER stock_news_update AFTER UPDATE ON stock
        REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_of_sales()
        """
    )


def tell_of_categories() -> None:
    op.execute(
        """
        CREATE FUNCTION tell_of_categories() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('catalog_' || TG_TABLE_SCHEMA, json_build_object('all', true)::text);
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER categories_news AFTER INSERT OR UPDATE OR DELETE ON categories
        FOR EACH STATEMENT EXECUTE FUNCTION tell_of_categories()
        """
    )


def schema() -> str:
    """The shop's schema, so that whoever writes need not have it in the search path."""
    return f'"{op.get_bind().dialect.default_schema_name}"'
