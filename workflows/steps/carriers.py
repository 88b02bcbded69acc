"""What a story may ask about those who bring parcels."""

from domain.carriers import FollowParcel, LeaveParcel, ParcelFollowed
from workflows.steps.patience import A_DAY_OF_TRIES, UNTIL_DONE
from workflows.steps.step import Step

follow = Step("carriers.follow", FollowParcel, ParcelFollowed, A_DAY_OF_TRIES)
"""Have the carrier tell how far the parcel is."""
leave = Step("carriers.leave", LeaveParcel, ParcelFollowed, UNTIL_DONE)
"""Note that nobody will."""
