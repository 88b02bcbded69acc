"""What a story may ask about parcels."""

from domain.shipping import (
    GiveUpParcel,
    HoldOrder,
    MoveParcel,
    OrderHold,
    ParcelGivenUp,
    PlannedShipment,
    PlanShipment,
    ReleaseOrder,
    ShipmentCharge,
    ShipmentState,
    ShipParcel,
)
from workflows.steps.patience import UNTIL_DONE
from workflows.steps.step import Step

plan = Step("shipping.plan", PlanShipment, PlannedShipment, UNTIL_DONE)
charge = Step("shipping.charge", ShipParcel, ShipmentCharge, UNTIL_DONE)
"""Fix what has to be captured before the parcel may leave."""
ship = Step("shipping.ship", ShipParcel, ShipmentState, UNTIL_DONE)
"""The parcel is paid and on its way: goods leave the stock."""
deliver = Step("shipping.deliver", MoveParcel, ShipmentState, UNTIL_DONE)
give_up = Step("shipping.give_up", GiveUpParcel, ParcelGivenUp, UNTIL_DONE)
"""The parcel has left and will not arrive: its units are sent again, or the money is set aside to go back."""
cancel = Step("shipping.cancel", MoveParcel, ShipmentState, UNTIL_DONE)
"""The parcel will not leave; its units wait for another one."""
hold = Step("shipping.hold", HoldOrder, OrderHold, UNTIL_DONE)
"""Nothing of the order may leave."""
release = Step("shipping.release", ReleaseOrder, OrderHold, UNTIL_DONE)
