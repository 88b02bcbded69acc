"""Who brings the parcels."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field, SecretStr

from runtime.settings.section import Section


class Carriers(Section):
    """Who brings parcels, and tells where they are: `docs/shipping.md`."""

    easypost_api_base: str = "https://api.easypost.com/v2"
    """EasyPost's API, or the sandbox that stands in for it."""
    easypost_api_key: SecretStr | None = None
    """The key by which the shop asks EasyPost to tell of parcels that have left; unset, it asks nobody."""
    easypost_webhook_secret: SecretStr | None = None
    """What EasyPost signs its messages about parcels with; unset, none is taken."""
    timeout_seconds: Annotated[int, Field(ge=1, le=25)] = 10
    """How long EasyPost may be silent in one call before it counts as unanswered; it is asked again for a day."""
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    """After so many calls in a row that were not answered, a worker leaves EasyPost alone for a while."""
    breaker_seconds: Annotated[float, Field(gt=0)] = 5.0
    """That while; then one call tries, and the others fail at once until that one was answered."""
    messages_keep_days: Annotated[int, Field(ge=30)] = 90
    """How long their messages can be seen, also those about parcels that nobody knows; parcels keep what they said."""

    @property
    def messages_kept(self) -> timedelta:
        return timedelta(days=self.messages_keep_days)
