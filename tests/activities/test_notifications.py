"""Mails are sent once for their occasion, and only while there is somebody to read them."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from activities.notifications import NotificationActivities
from db.customers import User
from db.mailbox import Letter
from domain.customers import AccountStatus, Customer
from domain.notifications import Mail, MailOutcome
from providers.mail.base import MailNotAcceptedError, NoSuchMailboxError
from providers.mail.letters import Letters
from runtime.resources import Resources

ADDRESS = {"name": "Ada Testcase", "line1": "12 Orchard Lane", "city": "Springfield", "country": "US"}
UNTIL = datetime(2026, 11, 26, 14, 30, tzinfo=UTC)


@dataclass
class Outbox:
    """Takes every mail, or fails as told."""

    error: Exception | None = None
    mails: list[Mail] = field(default_factory=list)

    async def send(self, mail: Mail) -> None:
        if self.error:
            raise self.error
        self.mails.append(mail)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def mailing(resources: Resources, outbox: Outbox) -> NotificationActivities:
    return NotificationActivities(
        resources.sessions,
        outbox,
        Letters(shop_name="Sutler"),
        link=lambda user_id, created_at: (f"http://shop.test/verify-email?token={user_id}", UNTIL),
    )


async def a_customer(resources: Resources, status: AccountStatus = AccountStatus.PENDING_VERIFICATION) -> Customer:
    name = f"ada.{uuid4().hex[:12]}"
    async with resources.sessions.begin() as session:
        user = User(username=name, email=f"{name}@example.com", password_hash="x", status=status)
        session.add(user)
        await session.flush()
        return Customer(user_id=user.id)


async def is_noted(resources: Resources, key: str) -> bool:
    async with resources.sessions() as session:
        return bool(await session.scalar(select(func.count()).select_from(Letter).where(Letter.key == key)))


async def test_a_new_account_is_mailed_its_link(
    mailing: NotificationActivities, outbox: Outbox, resources: Resources
) -> None:
    customer = await a_customer(resources)

    assert await mailing.verification(customer) is MailOutcome.SENT

    [mail] = outbox.mails
    assert mail.key == f"verification:{customer.user_id}"
    assert f"http://shop.test/verify-email?token={customer.user_id}" in mail.text
    assert await is_noted(resources, mail.key)


async def test_a_repeated_step_sends_nothing_more(
    mailing: NotificationActivities, outbox: Outbox, resources: Resources
) -> None:
    customer = await a_customer(resources)
    await mailing.verification(customer)

    assert await mailing.verification(customer) is MailOutcome.SENT_BEFORE
    assert len(outbox.mails) == 1


async def test_the_reminder_is_a_mail_of_its_own(
    mailing: NotificationActivities, outbox: Outbox, resources: Resources
) -> None:
    customer = await a_customer(resources)
    await mailing.verification(customer)

    assert await mailing.reminder(customer) is MailOutcome.SENT
    assert [mail.key for mail in outbox.mails] == [f"verification:{customer.user_id}", f"reminder:{customer.user_id}"]


async def test_nobody_is_mailed_when_the_account_is_gone(mailing: NotificationActivities, outbox: Outbox) -> None:
    assert await mailing.reminder(Customer(user_id=uuid4())) is MailOutcome.NOBODY_TO_SEND_TO
    assert outbox.mails == []


async def test_nobody_is_reminded_of_what_they_have_done(
    mailing: NotificationActivities, outbox: Outbox, resources: Resources
) -> None:
    customer = await a_customer(resources, AccountStatus.ACTIVE)
    assert await mailing.reminder(customer) is MailOutcome.NOBODY_TO_SEND_TO
    assert outbox.mails == []


async def test_a_mail_that_no_server_took_is_not_noted_and_goes_out_later(
    mailing: NotificationActivities, outbox: Outbox, resources: Resources
) -> None:
    customer = await a_customer(resources)
    outbox.error = MailNotAcceptedError("SMTP 451")
    with pytest.raises(MailNotAcceptedError):
        await mailing.verification(customer)
    assert not await is_noted(resources, f"verification:{customer.user_id}")

    outbox.error = None
    assert await mailing.verification(customer) is MailOutcome.SENT


async def test_a_mailbox_that_does_not_exist_is_an_answer_not_a_failure(
    mailing: NotificationActivities, outbox: Outbox, resources: Resources
) -> None:
    customer = await a_customer(resources)
    outbox.error = NoSuchMailboxError("SMTP 550")

    assert await mailing.verification(customer) is MailOutcome.REFUSED
    assert not await is_noted(resources, f"verification:{customer.user_id}")
