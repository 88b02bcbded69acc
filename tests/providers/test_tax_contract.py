"""What the shop expects of every tax provider, and what it does not believe."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any

import httpx
import pytest

from domain.baskets import Destination
from domain.taxes import NamedTax, Taxable, TaxQuestion
from providers.payments import PROVIDER_SILENCE
from providers.taxes import NoTaxProvider, StripeTaxes, TaxProvider, TaxProviderSilent, stripe_taxes
from runtime.breaker import Breaker, State
from runtime.settings import Settings, Tax

FOOD = "txcd_40060003"


def opened(
    settings: Settings, sandbox: httpx.AsyncClient, **otherwise: Any
) -> AbstractAsyncContextManager[StripeTaxes]:
    facts: dict[str, Any] = {
        "api_base": str(sandbox.base_url).rstrip("/"),
        "api_key": settings.payments.stripe_api_key.get_secret_value(),
        "codes": Tax(codes={"food": FOOD}).all_codes,
        "timeout_seconds": 5,
    }
    return stripe_taxes(**{**facts, **otherwise})


@pytest.fixture
async def provider(settings: Settings, sandbox: httpx.AsyncClient) -> AsyncIterator[TaxProvider]:
    async with opened(settings, sandbox) as taxes:
        yield taxes


async def misbehaves_next(sandbox: httpx.AsyncClient, fault: str, **more: Any) -> None:
    plan = {"payments": {"next": [{"operation": "tax", "fault": fault, **more}]}}
    assert (await sandbox.put("/faults", json=plan)).status_code == 200


def a_question(*amounts: int, country: str = "DE", shipping: int = 499, **otherwise: Any) -> TaxQuestion:
    goods = otherwise.pop("goods", tuple(Taxable(amount=amount) for amount in amounts))
    facts: dict[str, Any] = {
        "currency": "EUR",
        "destination": Destination(country=country, region=otherwise.pop("region", None), postal_code="10115"),
        "goods": (*goods, Taxable(amount=shipping, tax_class="shipping")),
        "is_inclusive": False,
    }
    return TaxQuestion(**{**facts, **otherwise})


async def test_each_line_and_shipping_are_taxed_and_the_taxes_have_names(provider: TaxProvider) -> None:
    answer = await provider.assess(a_question(1000, 333))

    # 19 % of 10.00, of 3.33 and of 4.99
    assert (answer.is_known, answer.amounts) == (True, (190, 63, 95))
    assert answer.taxes == (NamedTax(name="DE vat", percent=Decimal("19.0"), base=1832, amount=348, is_included=False),)
    assert (answer.reference or "").startswith("taxcalc_")


async def test_prices_that_contain_their_tax_are_asked_about_as_such(provider: TaxProvider) -> None:
    answer = await provider.assess(a_question(1190, shipping=0, is_inclusive=True))

    assert answer.amounts == (190, 0)
    assert [(tax.base, tax.amount, tax.is_included) for tax in answer.taxes] == [(1000, 190, True)]


async def test_classes_go_by_the_partners_codes_and_unknown_ones_as_standard_goods(provider: TaxProvider) -> None:
    goods = (Taxable(amount=1000, tax_class="food"), Taxable(amount=1000, tax_class="nobody_knows"))

    answer = await provider.assess(a_question(goods=goods, shipping=0))

    assert answer.amounts == (70, 190, 0)


async def test_carts_with_more_lines_than_one_page_are_answered_whole(provider: TaxProvider) -> None:
    answer = await provider.assess(a_question(*range(100, 3700, 100), shipping=0, country="US", region="CA"))

    assert answer.amounts[:3] == (7, 15, 22)  # 7.25 % of 1.00, 2.00 and 3.00
    assert (len(answer.amounts), answer.amounts[35]) == (37, 261)


async def test_a_place_that_the_partner_does_not_know_is_no_place_without_taxes(provider: TaxProvider) -> None:
    answer = await provider.assess(a_question(1000, country="ZZ"))

    assert (answer.is_known, answer.amounts) == (False, ())


async def test_where_the_shop_does_not_collect_the_answer_names_why(provider: TaxProvider) -> None:
    answer = await provider.assess(a_question(1000, country="CH"))

    assert (answer.is_known, answer.amounts) == (True, (0, 0))
    assert [tax.name for tax in answer.taxes] == ["CH not collecting"]


@pytest.mark.parametrize(
    ("fault", "more"),
    [("error", {}), ("error_after", {}), ("drop_response", {}), ("refusal", {}), ("hang", {"ms": 5000})],
)
async def test_whatever_is_no_answer_is_silence(
    settings: Settings, sandbox: httpx.AsyncClient, fault: str, more: dict[str, Any]
) -> None:
    await misbehaves_next(sandbox, fault, **more)

    async with opened(settings, sandbox, timeout_seconds=0.3) as taxes:
        with pytest.raises(TaxProviderSilent):
            await taxes.assess(a_question(1000))

        # The partner's next answer is believed again.
        assert (await taxes.assess(a_question(1000))).amounts == (190, 95)


async def test_a_wrong_key_is_silence_and_not_an_order_without_taxes(
    settings: Settings, sandbox: httpx.AsyncClient
) -> None:
    async with opened(settings, sandbox, api_key="sk_test_of_another_shop") as taxes:
        with pytest.raises(TaxProviderSilent):
            await taxes.assess(a_question(1000))


async def test_a_partner_that_is_away_is_left_alone_for_a_while(settings: Settings, sandbox: httpx.AsyncClient) -> None:
    breaker = Breaker("taxes_of_a_test", silence=PROVIDER_SILENCE, failures=2, cool_down=60)
    nowhere = "http://127.0.0.1:1"
    async with opened(settings, sandbox, api_base=nowhere, guard=breaker.watched) as taxes:
        for _ in range(3):
            with pytest.raises(TaxProviderSilent):
                await taxes.assess(a_question(1000))

    assert breaker.state is State.OPEN


async def test_a_shop_that_asks_nobody_hears_nothing() -> None:
    with pytest.raises(TaxProviderSilent):
        await NoTaxProvider().assess(a_question(1000))
