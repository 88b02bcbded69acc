"""Making the shop's schema, and who may do what in it."""

from sqlalchemy import make_url

from db import migrations, roles
from db.roles import Roles
from runtime.settings import Database


def migrated(database: Database) -> None:
    """Bring the schema to the newest version, in its owner's name, and let the app and the reader use it."""
    owner = make_url((database.owner_url or database.url).get_secret_value())
    app = make_url(database.url.get_secret_value())
    reader = make_url(database.reader_url.get_secret_value()) if database.reader_url else None
    if database.admin_url is not None:
        logins = [login for login in (owner, app, reader) if login is not None]
        roles.make(database.admin_url.get_secret_value(), logins, shop_schema=database.shop_schema)
    others = Roles(
        app=app.username if app.username != owner.username else None, reader=reader.username if reader else None
    )
    migrations.upgrade(owner.render_as_string(hide_password=False), shop_schema=database.shop_schema, roles=others)
