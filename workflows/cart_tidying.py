"""Carts that nobody comes back to do not stay for ever."""

from temporalio import workflow

from domain.cart_tidying import CartsTidied, TidyCarts
from workflows.steps import carts


@workflow.defn
class CartTidying:
    """Empty carts go after hours, those of guests after weeks, those of customers after months; ordered ones never."""

    @workflow.run
    async def run(self, request: TidyCarts) -> CartsTidied:
        return await carts.tidy(request)
