"""Who carries parcels, and where customers can see how far they are."""

from urllib.parse import quote

NUMBER = "{number}"
"""Stands for the tracking number in the address of a carrier's page."""


def tracking_url(template: str | None, number: str | None) -> str | None:
    """The page about one parcel; ``None`` for carriers of which no page is known."""
    return template.replace(NUMBER, quote(number, safe="")) if template and number else None
