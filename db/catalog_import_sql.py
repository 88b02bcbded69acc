"""The statements that merge the staging tables into the catalogue; each touches only rows that differ."""

PRODUCT_COLUMNS = [
    *("slug", "id", "name", "description", "brand", "category_id", "is_active"),
    *("tags", "published_from", "published_until"),
]
VARIANT_COLUMNS = [
    "product_slug", "line", "sku", "id", "name", "options", "position", "currency", "amount", "stock",
    "weight_grams",
]  # fmt: skip

STAGING_TABLES = """
    CREATE TEMP TABLE IF NOT EXISTS staged_products (
        slug text, id uuid, name text, description text, brand text, category_id uuid, is_active boolean,
        tags varchar[], published_from timestamptz, published_until timestamptz
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS staged_attributes (
        product_slug text, attribute text, kind text, value text
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS staged_variants (
        product_slug text, line int, sku text, id uuid, name text, options text, position int,
        currency text, amount bigint, stock int, weight_grams int
    ) ON COMMIT DELETE ROWS;
    CREATE TEMP TABLE IF NOT EXISTS staged_prices (sku text, currency text, amount bigint) ON COMMIT DELETE ROWS
"""

# For batches that share a transaction.
EMPTY_STAGING_TABLES = """
    DELETE FROM staged_products; DELETE FROM staged_variants; DELETE FROM staged_attributes; DELETE FROM staged_prices
"""

ATTRIBUTES = """
    SELECT code, name, kind,
           ARRAY(SELECT value FROM attribute_choices WHERE attribute = code ORDER BY position) AS choices
    FROM attributes
"""

COUNT_STAGED = "SELECT (SELECT count(*) FROM staged_products), (SELECT count(*) FROM staged_variants)"

STRANGERS_SKUS = """
    SELECT s.line, s.sku, p.slug AS owner
    FROM staged_variants s JOIN variants v ON v.sku = s.sku JOIN products p ON p.id = v.product_id
    WHERE p.slug <> s.product_slug
    ORDER BY s.line
"""

# Locks the stock rows in the order in which orders lock them, so that the two cannot deadlock. A line of a file is
# imported as a whole or not at all: one variant that cannot be set holds back the others of its line. Files tell what
# lies at the main location.
SET_STOCK = """
    WITH stocked AS (
        SELECT stock.variant_id, s.line, s.stock AS wanted, stock.location, stock.on_hand, stock.reserved
        FROM staged_variants s JOIN variants v ON v.sku = s.sku JOIN stock ON stock.variant_id = v.id
        WHERE s.stock <> (SELECT on_hand FROM stock WHERE stock.variant_id = v.id AND stock.location = 'main')
        ORDER BY stock.variant_id, stock.location
        FOR UPDATE OF stock
    ), locked AS MATERIALIZED (
        SELECT * FROM stocked WHERE location = 'main' AND wanted <> on_hand
    ), changed AS (
        UPDATE stock SET on_hand = locked.wanted FROM locked
        WHERE stock.variant_id = locked.variant_id AND stock.location = 'main'
          AND locked.line NOT IN (SELECT line FROM locked WHERE wanted < reserved)
        RETURNING stock.variant_id
    ), moved AS (
        INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason)
        SELECT variant_id, 'main', wanted - on_hand, 0, 'import' FROM locked JOIN changed USING (variant_id)
    )
    SELECT variant_id, line, wanted, reserved, changed.variant_id IS NOT NULL AS is_set
    FROM locked LEFT JOIN changed USING (variant_id)
    ORDER BY line
"""

DROP_LINES = "DELETE FROM staged_variants WHERE line = ANY($1::int[])"

DROP_PRODUCTS_WITHOUT_VARIANTS = """
    DELETE FROM staged_products p WHERE NOT EXISTS (SELECT FROM staged_variants v WHERE v.product_slug = p.slug)
"""

MERGE_PRODUCTS = """
    INSERT INTO products (id, slug, name, description, brand, category_id, is_active,
                          tags, published_from, published_until)
    SELECT s.id, s.slug, s.name,
           coalesce(s.description, p.description, ''),
           nullif(coalesce(s.brand, p.brand), ''),
           coalesce(s.category_id, p.category_id),
           coalesce(s.is_active, p.is_active, true),
           coalesce(s.tags, p.tags, '{}'),
           coalesce(s.published_from, p.published_from),
           coalesce(s.published_until, p.published_until)
    FROM staged_products s LEFT JOIN products p ON p.slug = s.slug
    WHERE p.id IS NULL OR p.archived_at IS NOT NULL
       OR (p.name, p.description, p.brand, p.category_id, p.is_active, p.tags, p.published_from, p.published_until)
          IS DISTINCT FROM (
           s.name, coalesce(s.description, p.description), nullif(coalesce(s.brand, p.brand), ''),
           coalesce(s.category_id, p.category_id), coalesce(s.is_active, p.is_active), coalesce(s.tags, p.tags),
           coalesce(s.published_from, p.published_from), coalesce(s.published_until, p.published_until)
       )
    ON CONFLICT (slug) DO UPDATE SET
        name = excluded.name, description = excluded.description, brand = excluded.brand,
        category_id = excluded.category_id, is_active = excluded.is_active, tags = excluded.tags,
        published_from = excluded.published_from, published_until = excluded.published_until,
        version = products.version + 1, updated_at = now(), archived_at = NULL
    RETURNING id, xmax = 0 AS is_new
"""

MERGE_VARIANTS = """
    INSERT INTO variants (id, product_id, sku, name, options, position, weight_grams)
    SELECT s.id, p.id, s.sku, coalesce(s.name, v.name, ''), coalesce(s.options::jsonb, v.options, '{}'), s.position,
           coalesce(s.weight_grams, v.weight_grams, 0)
    FROM staged_variants s JOIN products p ON p.slug = s.product_slug LEFT JOIN variants v ON v.sku = s.sku
    WHERE v.id IS NULL
       OR (v.name, v.options, v.weight_grams) IS DISTINCT FROM (
           coalesce(s.name, v.name), coalesce(s.options::jsonb, v.options), coalesce(s.weight_grams, v.weight_grams)
       )
    ON CONFLICT (sku) DO UPDATE SET name = excluded.name, options = excluded.options,
        weight_grams = excluded.weight_grams, updated_at = now()
        WHERE variants.product_id = excluded.product_id
    RETURNING id, product_id, xmax = 0 AS is_new
"""

MERGE_PRICES = """
    WITH staged AS (
        SELECT sku, currency, amount FROM staged_variants
        UNION ALL
        SELECT staged_prices.* FROM staged_prices JOIN staged_variants USING (sku)
    ), merged AS (
        INSERT INTO prices (variant_id, currency, amount)
        SELECT v.id, s.currency, s.amount
        FROM staged s JOIN variants v ON v.sku = s.sku
        LEFT JOIN prices p ON p.variant_id = v.id AND p.currency = s.currency
        WHERE p.amount IS DISTINCT FROM s.amount
        ON CONFLICT (variant_id, currency) DO UPDATE SET amount = excluded.amount
        RETURNING variant_id
    )
    SELECT merged.variant_id, variants.product_id FROM merged JOIN variants ON variants.id = merged.variant_id
"""

MERGE_ATTRIBUTES = """
    INSERT INTO product_attributes (product_id, attribute, kind, value)
    SELECT products.id, s.attribute, s.kind, s.value
    FROM staged_attributes s
    JOIN staged_products ON staged_products.slug = s.product_slug
    JOIN products ON products.slug = s.product_slug
    LEFT JOIN product_attributes known ON known.product_id = products.id AND known.attribute = s.attribute
    WHERE known.value IS DISTINCT FROM s.value
    ON CONFLICT (product_id, attribute) DO UPDATE SET value = excluded.value
    RETURNING product_id
"""

STOCK_NEW_VARIANTS = """
    WITH stocked AS (
        INSERT INTO stock (variant_id, location, on_hand)
        SELECT v.id, 'main', coalesce(s.stock, 0)
        FROM staged_variants s JOIN variants v ON v.sku = s.sku
        WHERE NOT EXISTS (SELECT FROM stock WHERE stock.variant_id = v.id AND stock.location = 'main')
        RETURNING variant_id, on_hand
    )
    INSERT INTO stock_movements (variant_id, location, on_hand_change, reserved_change, reason)
    SELECT variant_id, 'main', on_hand, 0, 'import' FROM stocked WHERE on_hand > 0
"""

NEW_VERSIONS = "UPDATE products SET version = version + 1, updated_at = now() WHERE id = ANY($1::uuid[])"
