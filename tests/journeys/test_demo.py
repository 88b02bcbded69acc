"""``sutler demo`` and ``sutler order``, as people run them."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from runtime.accounts import make_demo_accounts
from runtime.resources import Resources
from runtime.settings import Settings
from tests.support.catalog import a_product
from tests.support.processes import free_port
from tests.support.production import PRODUCTION

Run = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture(scope="module")
async def shop(api_url: str, workers: None, settings: Settings, resources: Resources) -> None:
    await make_demo_accounts(settings)
    await a_product(resources.sessions, name="Coffee for the demo", price="5.00", stock=50)


@pytest.fixture
def sutler(shop: None) -> Run:
    """Run the command in its own process; its exit code and what it said."""

    async def run(*arguments: str) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode()

    return run


async def test_the_demo_buys_ships_and_delivers(sutler: Run) -> None:
    code, story = await sutler("demo")
    assert code == 0, story
    steps = [
        "Signed in",
        "201 after",
        "order.confirmed",
        "held, not taken",
        "Mailed to shopper@example.com",
        "the payment is captured",
        "order.delivered",
    ]
    places = [story.find(step) for step in steps]
    assert -1 not in places, story
    assert places == sorted(places)
    assert re.search(r"/namespaces/default/workflows/order:[0-9a-f-]{36}\n", story)
    assert re.search(r"temporal workflow metadata .*--workflow-id order:[0-9a-f-]{36}\n", story)


async def test_a_declined_card_leaves_nothing(sutler: Run) -> None:
    code, story = await sutler("demo", "--declined", "--guest")
    assert code == 0, story
    assert "402 after" in story
    assert "The provider's ledger has no movements of money for it." in story
    stock = re.findall(r"(\d+) could be sold before, (\d+) can be sold now", story)
    assert stock
    assert all(before == after for before, after in stock)


async def test_a_bank_that_wants_to_see_its_customer_is_satisfied(sutler: Run) -> None:
    code, story = await sutler("demo", "--three-d-secure", "--guest")
    assert code == 0, story
    assert "202 after" in story
    assert "order.payment_requires_action" in story
    assert "order.delivered" in story


async def test_a_bank_transfer_is_waited_for_and_noted(sutler: Run) -> None:
    code, story = await sutler("demo", "--bank-transfer", "--guest")
    assert code == 0, story
    steps = [
        "202 after",
        "please pay your order",
        "The order waits for its customer's bank transfer",
        "is confirmed, its payment captured",
        "order.transfer_awaited",
        "order.confirmed",
        "order.delivered",
    ]
    places = [story.find(step) for step in steps]
    assert -1 not in places, story
    assert places == sorted(places)


async def test_an_order_can_be_found_by_its_number(sutler: Run) -> None:
    _, story = await sutler("demo", "--guest")
    number = re.findall(r"Order (S-\d+) is confirmed", story)[0]

    code, found = await sutler("order", "list", "--status", "delivered")
    assert code == 0
    assert number in found

    code, told = await sutler("order", "explain", number)
    assert code == 0, told
    assert "nothing any more" in told or "waits for" in told
    code, shown = await sutler("order", "show", number)
    assert code == 0
    assert "Coffee for the demo" in shown
    assert "order.delivered" in shown


async def test_an_order_that_does_not_exist_is_not_found(sutler: Run) -> None:
    assert await sutler("order", "show", "S-1") == (1, "There is no order S-1.\n")


async def test_a_shop_that_does_not_run_is_named_with_the_way_to_start_it(
    sutler: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("APP_SHOP__PUBLIC_URL", nowhere)
    code, said = await sutler("demo")
    assert code == 1
    assert f"Nobody answers at {nowhere}: start the shop with `make up`" in said
    assert "Traceback" not in said


async def test_the_demo_does_not_touch_production(sutler: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)
    assert await sutler("demo") == (
        1,
        "The demo pays with test cards and signs in to demo accounts; production has neither.\n",
    )
