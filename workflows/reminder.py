"""A cart was left by somebody who agreed to be reminded of it."""

from datetime import datetime

from temporalio import workflow

from domain.cart_reminders import LookAtCart, RemindOfCart
from workflows.steps import carts


@workflow.defn
class Reminder:
    """Look at the cart whenever it may have been idle for long enough, and remind its customer a few times at most.

    Whatever ends it (an order, an empty cart, a withdrawn consent) is seen in the tables when the timer rings, and
    once more before a letter is carried.
    """

    @workflow.run
    async def run(self, request: RemindOfCart) -> int:
        while True:
            standing = await carts.remind(LookAtCart(cart_id=request.cart_id, now=workflow.now()))
            if standing.look_again_at is None:
                workflow.set_current_details(f"Over, after {standing.sent} reminders.")
                return standing.sent
            await self._rest_until(standing.look_again_at)

    async def _rest_until(self, time: datetime) -> None:
        workflow.set_current_details(f"Looks at the cart again on {time:%d %B, %H:%M} UTC.")
        await workflow.sleep(time - workflow.now(), summary="until the cart may have been left")
