"""The least that has to be set before anything starts with ``APP_ENV=production``."""

import base64

PRODUCTION = {
    "APP_ENV": "production",
    "APP_DATABASE__URL": "postgresql+asyncpg://shop:word@db.example.com/shop",
    "APP_CACHE__URL": "rediss://:word@cache.example.com/0",
    "APP_PAYMENTS__STRIPE_API_BASE": "https://api.stripe.com",
    "APP_PAYMENTS__STRIPE_API_KEY": "sk_live_of_nobody",
    "APP_AUTH__STOLEN_PASSWORDS_URL": "",
    "APP_CARRIERS__EASYPOST_API_KEY": "",
    "APP_CARRIERS__EASYPOST_WEBHOOK_SECRET": "",
    "APP_PAYMENTS__STRIPE_WEBHOOK_SECRET": "whsec_of_nobody",
    "APP_TEMPORAL__ENCRYPTION_KEYS": f"2026:{base64.b64encode(bytes(32)).decode()}",
}
