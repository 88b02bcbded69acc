"""tags, attributes, and times at which products appear and disappear

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

PRICE_STEPS = [factor * 10**power for power in range(2, 8) for factor in (1, 2, 5)]
"""As in 0013."""


def upgrade() -> None:
    add_columns()
    create_attributes()
    split_words_alike()
    list_labels_and_times()
    tell_of_attributes()
    op.execute("SELECT list_products(array_agg(id)) FROM products")


def add_columns() -> None:
    for table, column in (("products", "tags"), ("listed_products", "labels")):
        words: sa.Column[list[str]] = sa.Column(column, postgresql.ARRAY(sa.String()), server_default=sa.text("'{}'"), nullable=False)
        op.add_column(table, words)
        op.add_column(table, sa.Column("published_from", sa.DateTime(timezone=True), nullable=True))
        op.add_column(table, sa.Column("published_until", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_products_appears_before_it_disappears"), "products", "published_until > published_from"
    )
    op.create_index("ix_listed_products_labels", "listed_products", ["labels"], postgresql_using="gin")
    for column in ("published_from", "published_until"):
        op.create_index(
            op.f(f"ix_listed_products_{column}"),
            "listed_products",
            [column],
            postgresql_where=sa.text(f"{column} IS NOT NULL"),
        )


def create_attributes() -> None:
    op.create_table(
        "attributes",
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.CheckConstraint("code ~ '^[a-z][a-z0-9_]{0,49}$'", name=op.f("ck_attributes_code_form")),
        sa.CheckConstraint(
            "kind IN ('text', 'number', 'boolean', 'choice', 'date')", name=op.f("ck_attributes_kind")
        ),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_attributes")),
        sa.UniqueConstraint("code", "kind", name=op.f("uq_attributes_code_kind")),
    )
    op.create_table(
        "attribute_choices",
        sa.Column("attribute", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["attribute"], ["attributes.code"], name=op.f("fk_attribute_choices_attribute"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("attribute", "value", name=op.f("pk_attribute_choices")),
    )
    op.create_table(
        "product_attributes",
        sa.Column("product_id", sa.UUID(), nullable=False),
        sa.Column("attribute", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column(
            "choice", sa.String(), sa.Computed("CASE WHEN kind = 'choice' THEN value END", persisted=True), nullable=True
        ),
        sa.CheckConstraint(
            "CASE kind WHEN 'number' THEN value ~ '^-?(0|[1-9][0-9]*)([.][0-9]*[1-9])?$' "
            "WHEN 'boolean' THEN value IN ('true', 'false') "
            "WHEN 'date' THEN value ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}$' "
            "ELSE value <> '' AND char_length(value) <= 200 END",
            name=op.f("ck_product_attributes_value_of_its_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_product_attributes_product_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["attribute", "kind"],
            ["attributes.code", "attributes.kind"],
            name=op.f("fk_product_attributes_attribute_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["attribute", "choice"],
            ["attribute_choices.attribute", "attribute_choices.value"],
            name=op.f("fk_product_attributes_attribute_choice"),
        ),
        sa.PrimaryKeyConstraint("product_id", "attribute", name=op.f("pk_product_attributes")),
    )
    op.create_index("ix_product_attributes_attribute_value", "product_attributes", ["attribute", "value"])


def split_words_alike() -> None:
    """Words as a search splits them. Postgres' own parser takes `7e12ab` for a number and a word.

    A word that is too long for an index, and a product with more words than a document holds, are cut short.
    """
    op.execute(
        f"""
        CREATE FUNCTION words_of(given text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE
        SET search_path = {schema()} AS $$
            SELECT array_to_tsvector(ARRAY(
                SELECT word FROM regexp_split_to_table(plain_text(left(given, 200000)), '[^[:alnum:]]+') AS word
                WHERE length(word) BETWEEN 1 AND 255
            ))
        $$
        """
    )


def list_labels_and_times() -> None:
    steps = ",".join(map(str, PRICE_STEPS))
    op.execute(
        f"""
        CREATE OR REPLACE FUNCTION list_products(ids uuid[]) RETURNS void LANGUAGE plpgsql
        SET search_path = {schema()} AS $$
        BEGIN
            DELETE FROM listed_products
            WHERE product_id = ANY(ids)
              AND NOT EXISTS (SELECT FROM products
                              JOIN variants ON variants.product_id = products.id
                              JOIN prices ON prices.variant_id = variants.id
                              WHERE products.id = listed_products.product_id AND is_active AND archived_at IS NULL);
            INSERT INTO listed_products (product_id, name, brand, category_id, price_steps, labels,
                                         published_from, published_until, name_words, title, document)
            WITH RECURSIVE shown AS MATERIALIZED (
                SELECT id, name, brand, category_id, description, tags, published_from, published_until,
                       (SELECT array_agg(DISTINCT currency || ':' || width_bucket(amount, '{{{steps}}}'::bigint[]))
                        FROM variants JOIN prices ON prices.variant_id = variants.id
                        WHERE variants.product_id = products.id) AS price_steps
                FROM products
                WHERE id = ANY(ids) AND is_active AND archived_at IS NULL
            ), shelves (id, parent_id, name) AS (
                SELECT id, parent_id, name FROM categories WHERE id IN (SELECT category_id FROM shown)
                UNION ALL
                SELECT shelves.id, categories.parent_id, categories.name
                FROM categories JOIN shelves ON shelves.parent_id = categories.id
            ), signs AS (
                SELECT id, string_agg(name, ' ') AS names FROM shelves GROUP BY id
            ), inside AS (
                SELECT product_id, string_agg(concat_ws(' ', sku, name, options_text(options)), ' ') AS words
                FROM variants
                WHERE product_id IN (SELECT id FROM shown WHERE price_steps IS NOT NULL)
                GROUP BY product_id
            ), said AS (
                SELECT product_id, array_agg(attribute || '=' || value ORDER BY attribute) AS labels,
                       string_agg(value, ' ') FILTER (WHERE kind IN ('text', 'choice')) AS words
                FROM product_attributes WHERE product_id IN (SELECT id FROM shown) GROUP BY product_id
            ), spoken AS MATERIALIZED (
                SELECT shown.id, name, brand, category_id, price_steps, published_from, published_until,
                       ARRAY(SELECT 'tag:' || tag FROM unnest(tags) AS tag ORDER BY tag)
                           || coalesce(said.labels, '{{}}') AS labels,
                       words_of(name) AS named, words_of(coalesce(brand, '')) AS branded,
                       words_of(concat_ws(
                           ' ', signs.names, array_to_string(tags, ' '), said.words, inside.words, description
                       )) AS described
                FROM shown
                JOIN inside ON inside.product_id = shown.id
                LEFT JOIN signs ON signs.id = shown.category_id
                LEFT JOIN said ON said.product_id = shown.id
            )
            SELECT id, name, brand, category_id, price_steps, labels, published_from, published_until,
                   least(length(named), 1000), named || branded, named || branded || described
            FROM spoken
            ORDER BY id
            ON CONFLICT (product_id) DO UPDATE SET
                name = excluded.name, brand = excluded.brand, category_id = excluded.category_id,
                price_steps = excluded.price_steps, labels = excluded.labels,
                published_from = excluded.published_from, published_until = excluded.published_until,
                name_words = excluded.name_words, title = excluded.title, document = excluded.document
            WHERE (listed_products.name, listed_products.brand, listed_products.category_id,
                   listed_products.price_steps, listed_products.labels, listed_products.published_from,
                   listed_products.published_until, listed_products.document)
                  IS DISTINCT FROM
                  (excluded.name, excluded.brand, excluded.category_id,
                   excluded.price_steps, excluded.labels, excluded.published_from,
                   excluded.published_until, excluded.document);
        END $$
        """
    )
    shown = "id, name, brand, description, category_id, is_active, archived_at, tags, published_from, published_until"
    op.execute(
        f"""
        CREATE OR REPLACE FUNCTION list_after_update_of_products() RETURNS trigger LANGUAGE plpgsql
        SET search_path = {schema()} AS $$
        BEGIN
            PERFORM list_products(ARRAY(
                SELECT id FROM (SELECT {shown} FROM changed EXCEPT SELECT {shown} FROM before) AS changes
            ));
            RETURN NULL;
        END $$
        """
    )


def tell_of_attributes() -> None:
    """What is said of products changes them in lists and in memory; what can be said may change everything."""
    op.execute(
        f"""
        CREATE FUNCTION list_after_product_attributes() RETURNS trigger LANGUAGE plpgsql
        SET search_path = {schema()} AS $$
        DECLARE
            products uuid[] := ARRAY(SELECT DISTINCT product_id FROM changed);
        BEGIN
            PERFORM list_products(products);
            PERFORM tell_catalog_news(TG_TABLE_SCHEMA, products, true);
            RETURN NULL;
        END $$
        """
    )
    for event, rows in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD")):
        op.execute(
            f"""
            CREATE TRIGGER product_attributes_listing_{event.lower()} AFTER {event} ON product_attributes
            REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION list_after_product_attributes()
            """
        )
    for table in ("attributes", "attribute_choices"):
        op.execute(
            f"""
            CREATE TRIGGER {table}_news AFTER INSERT OR UPDATE OR DELETE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION tell_of_categories()
            """
        )


def schema() -> str:
    return f'"{op.get_bind().dialect.default_schema_name}"'
