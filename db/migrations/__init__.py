"""Forward-only migrations of the shop's schema."""

from pathlib import Path

from alembic import command
from alembic.config import Config

from db.roles import Roles


def configuration(url: str, *, shop_schema: str = "public", roles: Roles | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = url
    config.attributes["shop_schema"] = shop_schema
    config.attributes["roles"] = roles or Roles()
    return config


def upgrade(url: str, *, shop_schema: str = "public", roles: Roles | None = None) -> None:
    """Bring the schema to the newest version; does nothing when it is, and waits while another process does it.

    The tables are those of whom the URL signs in, and the other roles may use them.
    """
    command.upgrade(configuration(url, shop_schema=shop_schema, roles=roles), "head")
