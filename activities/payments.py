"""Payment steps: one call to the provider each, safe to repeat by the key that the story gave it."""

from dataclasses import replace
from uuid import UUID

from temporalio import activity

from db import deadlines, orders, payments
from db.engine import Sessions
from domain.payments import (
    MANUAL,
    NOTHING,
    Answer,
    AuthorizationRenewed,
    AuthorizePayment,
    CapturePayment,
    GiveMoneyBack,
    LookIntoStray,
    LookUpPayment,
    PaymentAuthorization,
    PaymentCapture,
    PaymentFound,
    PaymentGivenBack,
    PaymentReleased,
    PaymentStatus,
    ReleasePayment,
    RenewAuthorization,
    StrayFound,
)
from providers.payments import PaymentProvider, Providers
from workflows.steps import payments as steps


class PaymentActivities:
    """``cards`` names the one of the providers whom new card payments go to."""

    def __init__(self, providers: Providers, sessions: Sessions, *, cards: str) -> None:
        self._providers = providers
        self._sessions = sessions
        self._cards = cards

    @steps.authorize.performed_by
    async def authorize(self, request: AuthorizePayment) -> PaymentAuthorization:
        """A first try may have worked without our hearing of it, so every further one asks before it repeats."""
        provider = self._providers[self._payee(request)]
        if _is_repeated() or request.is_resumed:
            known = await provider.look_up(LookUpPayment(payment_id=request.payment_id))
            if known is not None:
                return known
        return await provider.authorize(request)

    def _payee(self, request: AuthorizePayment) -> str:
        if request.total.minor == 0:
            return NOTHING
        return MANUAL if request.method == MANUAL else self._cards

    @steps.look_up.performed_by
    async def look_up(self, request: LookUpPayment) -> PaymentAuthorization:
        """How the payment stands. One that the provider does not know was refused when it was asked for."""
        provider, _ = await self._whose(request.payment_id)
        known = await provider.look_up(request)
        return known or PaymentAuthorization(answer=Answer.DECLINED, reference=None, decline_code="not_found")

    @steps.find.performed_by
    async def find(self, request: LookUpPayment) -> PaymentFound:
        provider, _ = await self._whose(request.payment_id)
        return PaymentFound(payment=await provider.look_up(request))

    @steps.capture.performed_by
    async def capture(self, request: CapturePayment) -> PaymentCapture:
        provider, reference = await self._whose(request.payment_id)
        if reference is None:
            raise LookupError(f"payment {request.payment_id} has no reference at its provider")
        return await provider.capture(request, reference)

    @steps.renew.performed_by
    async def renew(self, request: RenewAuthorization) -> AuthorizationRenewed:
        """As with the first authorisation, a further try asks before it repeats; what lapsed is not found any more."""
        provider, _ = await self._whose(request.payment_id)
        answer = await provider.look_up(LookUpPayment(payment_id=request.payment_id)) if _is_repeated() else None
        if answer is None or answer.answer is not Answer.AUTHORIZED:
            answer = await provider.authorize(await self._the_same_again(request))
        if answer.answer is not Answer.AUTHORIZED or answer.reference is None:
            return AuthorizationRenewed(refusal=answer.decline_code or answer.answer)
        async with self._sessions.begin() as session:
            await orders.renew_payment(session, request.order_id, answer.reference)
            return AuthorizationRenewed(waits=await deadlines.waits(session, request.order_id))

    async def _the_same_again(self, request: RenewAuthorization) -> AuthorizePayment:
        async with self._sessions() as session:
            method = await payments.chosen_method(session, request.order_id)
        return AuthorizePayment(
            payment_id=request.payment_id,
            order_id=request.order_id,
            order_number=request.order_number,
            method=method,
            total=request.total,
            key=request.key,
            is_payer_away=True,
        )

    @steps.release.performed_by
    async def release(self, request: ReleasePayment) -> PaymentReleased:
        provider, reference = await self._whose(request.payment_id)
        if reference is not None:  # without one, nothing was ever held
            await provider.release(request, reference)
        async with self._sessions.begin() as session:
            return PaymentReleased(payment_status=await orders.release_payment(session, request.order_id))

    @steps.inspect.performed_by
    async def inspect(self, request: LookIntoStray) -> StrayFound:
        there = await self._providers[self._cards].inspect(request.reference)
        if there is None:
            return StrayFound(is_wanted=False)
        async with self._sessions() as session:
            owner = await payments.owner_of(session, there.payment_id, request.reference)
        if owner is None and there.order_id is None:  # neither our books nor its maker say that it is ours
            return StrayFound(is_wanted=True)
        return StrayFound(
            is_wanted=owner is not None and (owner.wants(request.reference) or await self._has_lost_its_money(owner)),
            amount=there.amount if there.amount.minor else None,
            order_id=owner.order_id if owner else None,
            payment_id=owner.payment_id if owner else there.payment_id,
        )

    async def _has_lost_its_money(self, owner: payments.Owner) -> bool:
        """What is authorised anew for an order whose authorisation has lapsed may be told before we have noted it."""
        if owner.payment_status is not PaymentStatus.AUTHORIZED or owner.reference is None:
            return False
        there = await self._providers[self._cards].inspect(owner.reference)
        return there is None or there.amount.minor == 0

    @steps.give_back.performed_by
    async def give_back(self, request: GiveMoneyBack) -> PaymentGivenBack:
        provider, reference = await self._whose(request.payment_id)
        return await provider.give_back(replace(request, reference=request.reference or reference))

    async def _whose(self, payment_id: UUID) -> tuple[PaymentProvider, str | None]:
        """Who has the payment, and the name they know it by, as far as that was ever noted."""
        async with self._sessions() as session:
            known = await payments.known(session, payment_id)
        return (self._providers[known.provider], known.reference) if known else (self._providers[self._cards], None)


def _is_repeated() -> bool:
    return activity.info().attempt > 1
