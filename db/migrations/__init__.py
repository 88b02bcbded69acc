"""Forward-only migrations of the shop's schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config


def configuration(url: str, *, shop_schema: str = "public") -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = url
    config.attributes["shop_schema"] = shop_schema
    return config


def upgrade(url: str, *, shop_schema: str = "public") -> None:
    """Bring the schema to the newest version; does nothing when it is, and waits while another process does it."""
    command.upgrade(configuration(url, shop_schema=shop_schema), "head")
