"""Devices that an account has signed in from: they show it with a cookie, which lets nobody in by itself."""

from typing import Annotated

from litestar.datastructures import Cookie
from litestar.params import Parameter

from runtime.guesses import Guess
from runtime.resources import Resources
from runtime.tokens import DEVICE_IS_KNOWN_FOR

NAME = "sutler_device"

DeviceCookie = Annotated[
    str | None, Parameter(cookie=NAME, default=None, max_length=1000, description="Set by an earlier sign-in")
]


def known_device(resources: Resources, guess: Guess) -> Cookie:
    """For the answer to somebody who has just signed in."""
    return Cookie(
        NAME,
        value=resources.guesses.device_cookie(guess),
        path="/v1/auth/login",
        max_age=int(DEVICE_IS_KNOWN_FOR.total_seconds()),
        secure=resources.settings.shop.public_url.startswith("https:"),
        httponly=True,
        samesite="strict",
    )
