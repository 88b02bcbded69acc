"""Words of the catalogue that have rules."""

import re
import unicodedata


def slug_of(name: str) -> str:
    """A readable address for a name: lower-case ASCII words joined by hyphens; ``item`` when nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:80].rstrip("-") or "item"
