"""Parcels that people hand over, and of which they type carrier and number."""

from domain.carriers import Followed, ParcelToFollow


class ManualCarrier:
    """For shops that ask nobody: an operator says what leaves, and what has arrived."""

    name = "manual"
    tells = False

    async def follow(self, parcel: ParcelToFollow) -> Followed:  # noqa: ARG002
        return Followed(is_followed=False, refusal="nobody_is_asked")
