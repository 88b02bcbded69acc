"""Stripe Tax, by its official package: a calculation is asked for and thrown away, nothing is booked."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from decimal import Decimal
from typing import Literal

import stripe
from stripe.params.tax import CalculationCreateParams, CalculationCreateParamsLineItem
from stripe.tax import Calculation, CalculationLineItem

from domain.taxes import SHIPPING, STANDARD, NamedTax, TaxAnswer, TaxQuestion
from providers.payments.base import Guard
from providers.payments.stripe import GuardedHTTP
from providers.taxes.base import TaxProviderSilent

UNKNOWN_PLACE = "customer_tax_location_invalid"
"""What Stripe says when it cannot tell which taxes such an address has."""


class StripeTaxes:
    """``codes`` are Stripe's names of the shop's classes; a class without one is taxed as ``standard`` is."""

    name = "stripe"

    def __init__(self, client: stripe.StripeClient, codes: Mapping[str, str]) -> None:
        self._calculations = client.v1.tax.calculations
        self._codes = codes

    async def assess(self, question: TaxQuestion) -> TaxAnswer:
        try:
            with silence_is_named():
                told = await self._calculations.create_async(self._wish(question))
                lines = [line async for line in told.line_items.auto_paging_iter()] if told.line_items else []
        except stripe.InvalidRequestError as refused:
            if refused.code == UNKNOWN_PLACE:
                return TaxAnswer(is_known=False)
            raise TaxProviderSilent(f"Stripe refuses to calculate: {refused.code}") from refused
        return _answer(question, told, lines)

    def _wish(self, question: TaxQuestion) -> CalculationCreateParams:
        behaviour: Literal["inclusive", "exclusive"] = "inclusive" if question.is_inclusive else "exclusive"
        *goods, carriage = question.goods
        lines: list[CalculationCreateParamsLineItem] = [
            {
                "amount": one.amount,
                "reference": str(place),
                "tax_behavior": behaviour,
                "tax_code": self._codes.get(one.tax_class, self._codes[STANDARD]),
            }
            for place, one in enumerate(goods)
        ]
        there = question.destination
        return {
            "currency": question.currency.lower(),
            "line_items": lines,
            "shipping_cost": {
                "amount": carriage.amount,
                "tax_behavior": behaviour,
                "tax_code": self._codes[SHIPPING],
            },
            "customer_details": {
                "address": {
                    "country": there.country,
                    "state": there.region or "",
                    "postal_code": there.postal_code,
                },
                "address_source": "shipping",
            },
            "expand": ["line_items"],
        }


def _answer(question: TaxQuestion, told: Calculation, lines: list[CalculationLineItem]) -> TaxAnswer:
    """Believed only if it is about all that was asked, and adds up."""
    found = {line.reference: line for line in lines}
    places = [str(place) for place in range(len(question.goods) - 1)]
    if found.keys() != set(places) or told.shipping_cost is None:
        raise TaxProviderSilent("Stripe answered about something else than was asked")
    answered = [found[place] for place in places]
    costs = [*(line.amount for line in answered), told.shipping_cost.amount]
    amounts = (*(line.amount_tax for line in answered), told.shipping_cost.amount_tax)
    whole = told.tax_amount_inclusive if question.is_inclusive else told.tax_amount_exclusive
    other = told.tax_amount_exclusive if question.is_inclusive else told.tax_amount_inclusive
    if costs != [one.amount for one in question.goods] or (sum(amounts), 0) != (whole, other) or min(amounts) < 0:
        raise TaxProviderSilent("Stripe's answer does not add up")
    return TaxAnswer(amounts=amounts, taxes=tuple(_named(one) for one in told.tax_breakdown), reference=told.id)


def _named(one: Calculation.TaxBreakdown) -> NamedTax:
    rate = one.tax_rate_details
    parts = (rate.country, rate.state, (rate.tax_type or one.taxability_reason).replace("_", " "))
    return NamedTax(
        name=" ".join(part for part in parts if part),
        percent=Decimal(rate.percentage_decimal),
        base=one.taxable_amount,
        amount=one.amount,
        is_included=one.inclusive,
    )


@contextmanager
def silence_is_named() -> Iterator[None]:
    """Wrong keys and Stripe's own errors leave the shop as wise as no answer does."""
    try:
        yield
    except stripe.InvalidRequestError:
        raise
    except stripe.StripeError as error:
        raise TaxProviderSilent(str(error.user_message or type(error).__name__)) from error


@asynccontextmanager
async def stripe_taxes(
    *, api_base: str, api_key: str, codes: Mapping[str, str], timeout_seconds: float, guard: Guard = nullcontext
) -> AsyncIterator[StripeTaxes]:
    http = GuardedHTTP(guard, timeout=timeout_seconds)
    client = stripe.StripeClient(
        api_key,
        base_addresses={"api": api_base},
        http_client=http,
        max_network_retries=0,  # whoever asks decides how long it is worth to ask again
    )
    try:
        yield StripeTaxes(client, codes)
    finally:
        await http.close_async()  # type: ignore[no-untyped-call]
