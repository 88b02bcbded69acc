"""one narrow row for each product in the shop, for lists and searches, and the words that occur in them

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

EXTENSIONS = ("pg_trgm", "unaccent", "fuzzystrmatch")
PRICE_STEPS = [factor * 10**power for power in range(2, 8) for factor in (1, 2, 5)]
"""In minor units of whichever currency: domain.catalog.PRICE_STEPS, as they were when this was written."""
PUNCTUATION = "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~'"

# What a statement changed that lists and searches show.
OF_PRODUCTS = "id, name, brand, description, category_id, is_active, archived_at"
OF_VARIANTS = "id, product_id, sku, name, options"
OF_PRICES = "variant_id, currency, amount"


def upgrade() -> None:
    for extension in EXTENSIONS:
        op.execute(f"CREATE EXTENSION IF NOT EXISTS {extension} SCHEMA public")
    create_tables()
    create_words()
    list_whatever_changes()
    count_the_words()
    op.drop_index("ix_products_search", "products")
    op.drop_index("ix_products_category_id_id", "products")
    op.drop_index("ix_products_name_id", "products")
    op.execute("SELECT list_products(array_agg(id)) FROM products")


def create_tables() -> None:
    op.create_table(
        "listed_products",
        sa.Column("product_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("brand", sa.String(), nullable=True),
        sa.Column("category_id", sa.UUID(), nullable=True),
        sa.Column("name_words", sa.SmallInteger(), nullable=False),
        sa.Column("price_steps", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("title", postgresql.TSVECTOR(), nullable=False),
        sa.Column("document", postgresql.TSVECTOR(), nullable=False),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name=op.f("fk_listed_products_product_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("product_id", name=op.f("pk_listed_products")),
    )
    op.create_index("ix_listed_products_title", "listed_products", ["title"], postgresql_using="gin")
    op.create_index("ix_listed_products_document", "listed_products", ["document"], postgresql_using="gin")
    op.create_index(
        "ix_listed_products_name_words_product_id", "listed_products", ["name_words", sa.text("product_id DESC")]
    )
    op.create_index("ix_listed_products_name_product_id", "listed_products", ["name", "product_id"])
    op.create_index("ix_listed_products_brand_product_id", "listed_products", ["brand", "product_id"])
    op.create_index("ix_listed_products_category_id_product_id", "listed_products", ["category_id", "product_id"])
    op.create_table(
        "search_words",
        sa.Column("word", sa.String(collation="C"), nullable=False),
        sa.Column("titles", sa.Integer(), nullable=False),
        sa.Column("documents", sa.Integer(), nullable=False),
        sa.CheckConstraint("titles >= 0 AND documents >= titles", name=op.f("ck_search_words_counted")),
        sa.PrimaryKeyConstraint("word", name=op.f("pk_search_words")),
    )
    op.execute(
        f"CREATE INDEX ix_search_words_trigrams ON search_words USING gin (word {schema_of('pg_trgm')}.gin_trgm_ops)"
    )
    op.create_table(
        "search_brands",
        sa.Column("brand", sa.String(), nullable=False),
        sa.Column("plain", sa.String(collation="C"), nullable=False),
        sa.Column("products", sa.Integer(), nullable=False),
        sa.CheckConstraint("products >= 0", name=op.f("ck_search_brands_counted")),
        sa.PrimaryKeyConstraint("brand", name=op.f("pk_search_brands")),
    )
    op.create_index(op.f("ix_search_brands_plain"), "search_brands", ["plain"])


def create_words() -> None:
    """How text becomes words, the same for what is searched and for what it is searched by."""
    op.execute(
        f"""
        CREATE FUNCTION plain_text(given text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
            SELECT lower(translate({schema_of("unaccent")}.unaccent('{schema_of("unaccent")}.unaccent', given),
                                   {quoted(PUNCTUATION)}, '{" " * len(PUNCTUATION)}'))
        $$
        """
    )
    op.execute(
        """
        CREATE FUNCTION options_text(options jsonb) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
            SELECT string_agg(value, ' ') FROM jsonb_each_text(options)
        $$
        """
    )
    op.execute(
        f"""
        CREATE FUNCTION similar_words(asked text, most integer) RETURNS SETOF text LANGUAGE sql STABLE
        SET search_path = {path("pg_trgm", "fuzzystrmatch")} SET pg_trgm.similarity_threshold = 0.25 AS $$
            SELECT word
            FROM (
                SELECT word, documents, levenshtein_less_equal(word, asked, 3) AS typos, similarity(word, asked) AS alike
                FROM search_words WHERE word % asked
                UNION ALL
                SELECT word, documents, 1, 1  -- two neighbours changed places
                FROM search_words JOIN generate_series(1, length(asked) - 1) AS place
                  ON word = overlay(asked PLACING reverse(substr(asked, place, 2)) FROM place FOR 2)
            ) AS near
            WHERE documents > 0
              AND typos <= CASE WHEN length(asked) < 5 THEN 1 WHEN length(asked) < 9 THEN 2 ELSE 3 END
            GROUP BY word
            ORDER BY min(typos), max(alike) DESC, max(documents) DESC, word
            LIMIT most
        $$
        """
    )


def list_whatever_changes() -> None:
    op.execute(
        f"""
        CREATE FUNCTION list_products(ids uuid[]) RETURNS void LANGUAGE plpgsql
        SET search_path = {path()} AS $$
        BEGIN
            DELETE FROM listed_products
            WHERE product_id = ANY(ids)
              AND NOT EXISTS (SELECT FROM products
                              JOIN variants ON variants.product_id = products.id
                              JOIN prices ON prices.variant_id = variants.id
                              WHERE products.id = listed_products.product_id AND is_active AND archived_at IS NULL);
            INSERT INTO listed_products
                (product_id, name, brand, category_id, price_steps, name_words, title, document)
            WITH RECURSIVE shown AS MATERIALIZED (
                SELECT id, name, brand, category_id, description,
                       (SELECT array_agg(DISTINCT currency || ':' || width_bucket(amount, '{{{",".join(map(str, PRICE_STEPS))}}}'::bigint[]))
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
            ), spoken AS MATERIALIZED (
                SELECT shown.id, name, brand, category_id, price_steps,
                       to_tsvector('simple', plain_text(name)) AS named,
                       to_tsvector('simple', coalesce(plain_text(brand), '')) AS branded,
                       to_tsvector('simple', plain_text(concat_ws(' ', signs.names, inside.words, description)))
                           AS described
                FROM shown JOIN inside ON inside.product_id = shown.id LEFT JOIN signs ON signs.id = shown.category_id
            )
            SELECT id, name, brand, category_id, price_steps, least(length(named), 1000),
                   strip(named || branded), strip(named || branded || described)
            FROM spoken
            ORDER BY id
            ON CONFLICT (product_id) DO UPDATE SET
                name = excluded.name, brand = excluded.brand, category_id = excluded.category_id,
                price_steps = excluded.price_steps, name_words = excluded.name_words,
                title = excluded.title, document = excluded.document
            WHERE (listed_products.name, listed_products.brand, listed_products.category_id,
                   listed_products.price_steps, listed_products.document)
                  IS DISTINCT FROM (excluded.name, excluded.brand, excluded.category_id,
                                    excluded.price_steps, excluded.document);
        END $$
        """
    )
    # A product is listed as soon as it has a variant with a price, so a new one need not be looked at before.
    list_after("products", OF_PRODUCTS, "SELECT id FROM {}", events=("UPDATE",))
    list_after("variants", OF_VARIANTS, "SELECT product_id FROM {}")
    list_after("prices", OF_PRICES, "SELECT product_id FROM {} JOIN variants ON variants.id = variant_id")
    op.execute(
        f"""
        CREATE FUNCTION list_after_categories() RETURNS trigger LANGUAGE plpgsql
        SET search_path = {path()} AS $$
        BEGIN
            PERFORM list_products((
                WITH RECURSIVE below AS (
                    SELECT changed.id FROM changed JOIN before USING (id)
                    WHERE (changed.name, changed.parent_id) IS DISTINCT FROM (before.name, before.parent_id)
                    UNION
                    SELECT categories.id FROM categories JOIN below ON below.id = categories.parent_id
                )
                SELECT array_agg(products.id) FROM products JOIN below ON below.id = products.category_id
            ));
            RETURN NULL;
        END $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER categories_listing AFTER UPDATE ON categories
        REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION list_after_categories()
        """
    )


def list_after(
    table: str, shown: str, products: str, *, events: tuple[str, ...] = ("INSERT", "UPDATE", "DELETE")
) -> None:
    """List products anew after each statement that changed what lists show of them."""
    for event in events:
        function = f"list_after_{event.lower()}_of_{table}"
        changed = products.format("changed")
        if event == "UPDATE":
            changed = products.format(f"(SELECT {shown} FROM changed EXCEPT SELECT {shown} FROM before) AS changes")
        op.execute(
            f"""
            CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SET search_path = {path()} AS $$
            BEGIN
                PERFORM list_products(ARRAY({changed}));
                RETURN NULL;
            END $$
            """
        )
        op.execute(
            f"""
            CREATE TRIGGER {table}_listing_{event.lower()} AFTER {event} ON {table}
            REFERENCING {rows_of(event)} FOR EACH STATEMENT EXECUTE FUNCTION {function}()
            """
        )


def rows_of(event: str, before: str = "before", changed: str = "changed") -> str:
    match event:
        case "UPDATE":
            return f"OLD TABLE AS {before} NEW TABLE AS {changed}"
        case "DELETE":
            return f"OLD TABLE AS {changed}"
        case _:
            return f"NEW TABLE AS {changed}"


def count_the_words() -> None:
    """Words are counted by differences. Rows are locked in the order of their keys, so that nobody waits in a circle.

    Numbers and single letters are no words: nobody has them corrected or completed.
    """
    op.execute(
        f"""
        CREATE FUNCTION count_words(words text[], in_titles integer[], in_documents integer[]) RETURNS void
        LANGUAGE plpgsql SET search_path = {path()} AS $$
        BEGIN
            INSERT INTO search_words (word, titles, documents)
            SELECT word, 0, 0 FROM unnest(words) AS word ORDER BY word COLLATE "C"
            ON CONFLICT DO NOTHING;
            PERFORM FROM search_words WHERE word = ANY(words) ORDER BY word FOR UPDATE;
            UPDATE search_words
            SET titles = titles + changed.in_titles, documents = documents + changed.in_documents
            FROM unnest(words, in_titles, in_documents) AS changed (word, in_titles, in_documents)
            WHERE search_words.word = changed.word;
        END $$
        """
    )
    op.execute(
        f"""
        CREATE FUNCTION count_brands(brands text[], counts integer[]) RETURNS void
        LANGUAGE plpgsql SET search_path = {path()} AS $$
        BEGIN
            INSERT INTO search_brands (brand, plain, products)
            SELECT brand, trim(regexp_replace(plain_text(brand), ' +', ' ', 'g')), 0 FROM unnest(brands) AS brand ORDER BY brand
            ON CONFLICT DO NOTHING;
            PERFORM FROM search_brands WHERE brand = ANY(brands) ORDER BY brand FOR UPDATE;
            UPDATE search_brands SET products = products + changed.count
            FROM unnest(brands, counts) AS changed (brand, count)
            WHERE search_brands.brand = changed.brand;
        END $$
        """
    )
    for event in ("INSERT", "UPDATE", "DELETE"):
        signs = {"INSERT": {"changed": 1}, "UPDATE": {"changed": 1, "before": -1}, "DELETE": {"changed": -1}}[event]
        words = " UNION ALL ".join(
            f"SELECT lexeme, {sign} AS in_title, 0 AS in_document FROM {rows}, unnest(title) "
            f"UNION ALL SELECT lexeme, 0, {sign} FROM {rows}, unnest(document)"
            for rows, sign in signs.items()
        )
        brands = " UNION ALL ".join(
            f"SELECT brand, {sign} AS count FROM {rows} WHERE brand IS NOT NULL" for rows, sign in signs.items()
        )
        op.execute(
            f"""
            CREATE FUNCTION count_after_{event.lower()}() RETURNS trigger LANGUAGE plpgsql
            SET search_path = {path()} AS $$
            BEGIN
                PERFORM count_words(array_agg(lexeme), array_agg(in_titles), array_agg(in_documents)) FROM (
                    SELECT lexeme, sum(in_title)::integer AS in_titles, sum(in_document)::integer AS in_documents
                    FROM ({words}) AS words
                    GROUP BY lexeme
                    HAVING (sum(in_title) <> 0 OR sum(in_document) <> 0) AND lexeme ~ '^[^0-9]{{2,40}}$'
                ) AS counted;
                PERFORM count_brands(array_agg(brand), array_agg(counts)) FROM (
                    SELECT brand, sum(count)::integer AS counts FROM ({brands}) AS brands
                    GROUP BY brand HAVING sum(count) <> 0
                ) AS counted;
                RETURN NULL;
            END $$
            """
        )
        op.execute(
            f"""
            CREATE TRIGGER listed_products_count_{event.lower()} AFTER {event} ON listed_products
            REFERENCING {rows_of(event)} FOR EACH STATEMENT EXECUTE FUNCTION count_after_{event.lower()}()
            """
        )


def schema() -> str:
    return f'"{op.get_bind().dialect.default_schema_name}"'


def schema_of(extension: str) -> str:
    """Where the extension is: two shops in one database share it, so it need not be in this shop's schema."""
    found = op.get_bind().scalar(
        sa.text("SELECT nspname FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace "
                "WHERE extname = :extension"),
        {"extension": extension},
    )
    return f'"{found}"'


def path(*extensions: str) -> str:
    """What functions find by name, whoever calls them."""
    return ", ".join(dict.fromkeys([schema(), *map(schema_of, extensions)]))


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
