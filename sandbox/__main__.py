"""``python -m sandbox``: the outside world on a few ports of this machine."""

import logging
import os
import sys

import uvloop
from pydantic import ValidationError

from runtime.settings import Environment, Settings
from sandbox.server import serve


def main() -> int:
    # Asked before the settings are read: they would complain of other things first.
    if os.environ.get("APP_ENV") == Environment.PRODUCTION:
        print(
            "The sandbox does not start with APP_ENV=production: it would take real orders for play.", file=sys.stderr
        )
        return 2
    try:
        settings = Settings()
    except ValidationError as error:
        print(error, file=sys.stderr)
        return 2
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd tells every line it hears
    uvloop.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
