"""What the shop expects of whoever it asks about parcels, and what it does not believe."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from domain.carriers import Followed, ParcelToFollow
from providers.carriers import CARRIER_SILENCE, Carrier, CarrierSilent, EasyPost, ManualCarrier, easypost_carrier
from runtime.breaker import Breaker, State
from runtime.settings import Settings


def opened(settings: Settings, **otherwise: Any) -> AbstractAsyncContextManager[EasyPost]:
    key = settings.carriers.easypost_api_key
    assert key is not None
    facts: dict[str, Any] = {
        "api_base": settings.carriers.easypost_api_base,
        "api_key": key.get_secret_value(),
        "timeout_seconds": 5,
    }
    return easypost_carrier(**{**facts, **otherwise})


@pytest.fixture
async def carrier(settings: Settings, sandbox: httpx.AsyncClient) -> AsyncIterator[Carrier]:
    async with opened(settings) as easypost:
        yield easypost


def a_parcel(carrier: str = "UPS") -> ParcelToFollow:
    return ParcelToFollow(carrier=carrier, tracking_number=f"1Z{uuid4().hex[:12]}")


async def misbehaves_next(sandbox: httpx.AsyncClient, fault: str, **more: Any) -> None:
    plan = {"payments": {"next": [{"operation": "track", "fault": fault, **more}]}}
    assert (await sandbox.put("/faults", json=plan)).status_code == 200


async def followers(sandbox: httpx.AsyncClient, parcel: ParcelToFollow) -> list[str]:
    answer = await sandbox.get(f"/parcels/{parcel.tracking_number}")
    return [tracker["carrier"] for tracker in answer.json()["items"]] if answer.status_code == 200 else []


async def test_a_parcel_is_followed_once_however_often_it_is_asked_for(
    carrier: Carrier, sandbox: httpx.AsyncClient
) -> None:
    parcel = a_parcel()

    answers = [await carrier.follow(parcel), *await asyncio.gather(*(carrier.follow(parcel) for _ in range(4)))]

    assert answers == [Followed(is_followed=True)] * 5
    assert await followers(sandbox, parcel) == ["UPS"]


async def test_a_carrier_that_the_partner_does_not_know_is_refused_in_its_own_word(carrier: Carrier) -> None:
    assert await carrier.follow(a_parcel("Owls")) == Followed(is_followed=False, refusal="TRACKER.CREATE.ERROR")


@pytest.mark.parametrize("fault", ["error", "error_after", "drop_response", "hang"])
@pytest.mark.matrix("ship: the answer is lost after the carrier has begun to follow a parcel")
async def test_whoever_is_not_answered_asks_again_and_has_one_follower(
    settings: Settings, sandbox: httpx.AsyncClient, fault: str
) -> None:
    parcel = a_parcel()
    await misbehaves_next(sandbox, fault)

    async with opened(settings, timeout_seconds=1) as carrier:
        with pytest.raises(CarrierSilent) as silence:
            await carrier.follow(parcel)
        assert await carrier.follow(parcel) == Followed(is_followed=True)

    assert await followers(sandbox, parcel) == ["UPS"]
    assert parcel.tracking_number not in f"{silence.value!r} {silence.value.__cause__!r}"


async def test_a_refusal_is_an_answer(carrier: Carrier, sandbox: httpx.AsyncClient) -> None:
    await misbehaves_next(sandbox, "refusal")

    assert await carrier.follow(a_parcel()) == Followed(is_followed=False, refusal="REFUSED.ON.REQUEST")


async def test_a_wrong_key_can_be_put_right_and_is_no_answer(settings: Settings, sandbox: httpx.AsyncClient) -> None:
    async with opened(settings, api_key="EZTKwrong") as carrier:
        with pytest.raises(CarrierSilent, match="UnauthorizedError 401"):
            await carrier.follow(a_parcel())


async def test_something_that_is_not_easypost_is_no_answer(settings: Settings, sandbox: httpx.AsyncClient) -> None:
    async with opened(settings, api_base=str(sandbox.base_url)) as carrier:
        with pytest.raises(CarrierSilent):
            await carrier.follow(a_parcel())


async def test_a_partner_that_does_not_answer_is_left_alone_for_a_while(settings: Settings) -> None:
    breaker = Breaker("carriers of a test", silence=CARRIER_SILENCE, failures=2, cool_down=60)
    nowhere = "http://127.0.0.1:9/v2"
    async with opened(settings, api_base=nowhere, guard=breaker.watched) as carrier:
        for _ in range(2):
            with pytest.raises(CarrierSilent):
                await carrier.follow(a_parcel())

        assert breaker.state is State.OPEN
        with pytest.raises(CarrierSilent):
            await carrier.follow(a_parcel())


async def test_whoever_hands_parcels_over_by_hand_asks_nobody() -> None:
    manual = ManualCarrier()

    assert (manual.tells, (await manual.follow(a_parcel())).is_followed) == (False, False)
