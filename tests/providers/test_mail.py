"""Mails as they reach a server, and what is made of the server's answers."""

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from ssl import SSLContext
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from jinja2 import UndefinedError

from domain.money import Money
from domain.notifications import Mail, Occasion, mail_key
from providers.mail.base import MailNotAcceptedError, NoSuchMailboxError
from providers.mail.letters import Letters, Line, OrderLetter, ParcelLetter, Recipient
from providers.mail.smtp import SmtpMailer
from tests.support.processes import free_port

USER = UUID("0190a0a0-0000-7000-8000-00000000000a")
MAIL = Mail(
    key=f"verification:{USER}",
    to="ada@example.com",
    subject="Hello",
    text="in plain words\n",
    html="<p>in colour</p>\n",
)


@dataclass
class Server:
    """An SMTP server that answers as it is told."""

    port: int = 0
    to_recipients: str = "250 OK"
    to_data: str = "250 OK"
    hangs: bool = False
    letters: list[EmailMessage] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.hangs:
            await asyncio.Event().wait()
        if self.to_recipients.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_recipients

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        message = email.message_from_bytes(envelope.original_content or b"", policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.letters.append(message)
        return self.to_data


SomeServer = TypeVar("SomeServer", bound=Server)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with listening(Server()) as server:
        yield server


@asynccontextmanager
async def listening(server: SomeServer, *, ssl: SSLContext | None = None) -> AsyncIterator[SomeServer]:
    loop = asyncio.get_running_loop()
    async with serving(server, lambda: SMTP(server, hostname="test", loop=loop), ssl=ssl):
        yield server


@asynccontextmanager
async def serving(
    server: Server, factory: Callable[[], SMTP], *, ssl: SSLContext | None = None
) -> AsyncIterator[Server]:
    listener = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", 0, ssl=ssl)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()


def mailer_to(server: Server, *, timeout_seconds: float = 8.0) -> SmtpMailer:
    return SmtpMailer(
        host="127.0.0.1", port=server.port, sender="Sutler <shop@example.com>", timeout_seconds=timeout_seconds
    )


async def test_a_mail_arrives_as_text_and_as_html(server: Server) -> None:
    await mailer_to(server).send(MAIL)

    [letter] = server.letters
    assert letter["From"] == "Sutler <shop@example.com>"
    assert letter["To"] == "ada@example.com"
    assert letter["Subject"] == "Hello"
    assert letter["Auto-Submitted"] == "auto-generated"
    text, html = letter.get_body(("plain",)), letter.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().strip() == "in plain words"
    assert html.get_content().strip() == "<p>in colour</p>"


async def test_a_repeated_mail_has_the_message_id_of_its_occasion(server: Server) -> None:
    await mailer_to(server).send(MAIL)
    await mailer_to(server).send(MAIL)

    assert [letter["Message-ID"] for letter in server.letters] == [f"<verification.{USER}@example.com>"] * 2


async def test_a_mail_that_can_be_unsubscribed_from_says_how_one_click_does_it(server: Server) -> None:
    await mailer_to(server).send(replace(MAIL, unsubscribe="https://shop.test/unsubscribe?token=a.b.c"))
    await mailer_to(server).send(MAIL)

    reminder, other = server.letters
    assert reminder["List-Unsubscribe"] == "<https://shop.test/unsubscribe?token=a.b.c>"
    assert reminder["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert (other["List-Unsubscribe"], other["List-Unsubscribe-Post"]) == (None, None)


async def test_a_mailbox_that_does_not_exist_is_told_apart(server: Server) -> None:
    server.to_recipients = "550 5.1.1 ada@example.com: no such mailbox"
    with pytest.raises(NoSuchMailboxError) as refused:
        await mailer_to(server).send(MAIL)
    assert "ada" not in str(refused.value)


@pytest.mark.parametrize("answer", ["451 4.3.0 ada@example.com: later", "450 4.2.1 ada@example.com: greylisted"])
async def test_a_mailbox_that_is_busy_is_worth_another_try(server: Server, answer: str) -> None:
    server.to_recipients = answer
    with pytest.raises(MailNotAcceptedError, match=answer[:3]) as refused:
        await mailer_to(server).send(MAIL)
    assert "ada" not in str(refused.value)


async def test_a_server_that_refuses_the_content_is_worth_another_try(server: Server) -> None:
    server.to_data = "554 5.7.1 looks like spam to ada@example.com"
    with pytest.raises(MailNotAcceptedError, match=r"^SMTP 554$"):
        await mailer_to(server).send(MAIL)


async def test_a_server_that_hangs_is_given_up(server: Server) -> None:
    server.hangs = True
    with pytest.raises(MailNotAcceptedError, match="TimeoutError"):
        await mailer_to(server, timeout_seconds=0.2).send(MAIL)


async def test_a_server_that_is_not_there_is_worth_another_try() -> None:
    with pytest.raises(MailNotAcceptedError):
        await mailer_to(Server(port=free_port())).send(MAIL)


@pytest.mark.parametrize("occasion", [Occasion.VERIFICATION, Occasion.REMINDER])
def test_the_letters_about_an_account_carry_the_link_and_its_last_day(occasion: Occasion) -> None:
    mail = Letters(shop_name="Sutler").about_account(
        occasion,
        mail_key(occasion, USER),
        Recipient(email="ada@example.com", username="ada"),
        link="http://shop.test/verify-email?token=a.b.c",
        until=datetime(2026, 11, 26, 14, 30, tzinfo=UTC),
    )

    assert mail.key == f"{occasion}:{USER}"
    assert mail.to == "ada@example.com"
    for text in (mail.text, mail.html):
        assert "Hello ada," in text
        assert "http://shop.test/verify-email?token=a.b.c" in text
        assert "November 26, 2026, 2:30\u202fPM UTC" in text
    assert mail.html.startswith("<!doctype html>")


def an_order_letter(name: str) -> OrderLetter:
    def usd(minor: int) -> Money:
        return Money(minor, "USD")

    return OrderLetter(
        number="S-1001",
        lines=[Line(name=name, quantity=2, unit_price=usd(1999), total=usd(3998))],
        subtotal=usd(3998),
        discount=None,
        shipping=usd(499),
        tax=usd(0),
        total=usd(4497),
        credit=None,
        due=usd(4497),
        due_at=datetime(2026, 12, 2, 14, 30, tzinfo=UTC),
        address=["Ada Testcase", "12 Orchard Lane", "62701 Springfield IL", "US"],
    )


def test_an_order_is_confirmed_in_readable_words() -> None:
    mail = Letters(shop_name="Sutler").about_order(
        Occasion.ORDER_CONFIRMED, "order_confirmed:1", "ada@example.com", an_order_letter("Tea")
    )

    assert mail.subject == "Sutler: your order S-1001"
    assert mail.text == (
        "Thank you for your order S-1001. We have reserved everything for you.\n"
        "\n"
        "2 x Tea at $19.99: $39.98\n"
        "\n"
        "Goods: $39.98\n"
        "Shipping: $4.99\n"
        "Tax: $0.00\n"
        "Total: $44.97\n"
        "\n"
        "It goes to:\n"
        "Ada Testcase\n"
        "12 Orchard Lane\n"
        "62701 Springfield IL\n"
        "US\n"
        "\n"
        "Sutler\n"
    )


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (
            "https://carrier.test/1Z%209",
            "UPS carries it under the number 1Z 9.\nSee how far it is: https://carrier.test/1Z%209\n",
        ),
        (None, "UPS carries it under the number 1Z 9.\n\nIt goes to:\n"),
    ],
)
def test_a_parcel_is_announced_with_its_contents_and_where_it_can_be_followed(url: str | None, says: str) -> None:
    parcel = ParcelLetter(contents=[("Tea", 2)], carrier="UPS", tracking_number="1Z 9", tracking_url=url)

    mail = Letters(shop_name="Sutler").about_order(
        Occasion.PARCEL_SHIPPED, "parcel_shipped:1", "a@example.com", an_order_letter("Tea"), parcel=parcel
    )

    assert mail.subject == "Sutler: something of your order S-1001 is on its way"
    assert mail.text.startswith("Something of your order S-1001 is on its way:\n\n2 x Tea\n\n")
    assert says in mail.text
    assert ("<a href=" in mail.html) == (url is not None)


TRANSFER = """Amount: $44.97
To: Sutler, account 1234 at a bank
Reference: S-1001
By: December 2, 2026, 2:30\u202fPM UTC
"""


@pytest.mark.parametrize(
    ("occasion", "subject", "says"),
    [
        (Occasion.TRANSFER_AWAITED, "please pay your order S-1001", TRANSFER),
        (Occasion.TRANSFER_REMINDER, "your order S-1001 still waits for your payment", TRANSFER),
        (
            Occasion.TRANSFER_EXPIRED,
            "your order S-1001 was cancelled",
            "no payment has come by December 2, 2026, 2:30",
        ),
    ],
)
def test_mails_about_a_bank_transfer_say_how_much_where_to_by_which_name_and_until_when(
    occasion: Occasion, subject: str, says: str
) -> None:
    letters = Letters(shop_name="Sutler", transfer_to="Sutler, account 1234 at a bank")

    mail = letters.about_order(occasion, f"{occasion}:1", "ada@example.com", an_order_letter("Tea"))

    assert mail.subject == f"Sutler: {subject}"
    assert says in mail.text
    assert mail.html.startswith("<!doctype html>")
    for fact in ("S-1001", "December 2, 2026, 2:30\u202fPM UTC"):
        assert fact in mail.html


@pytest.mark.parametrize(
    ("due_at", "words"),
    [
        (datetime(2026, 12, 2, 14, 30, tzinfo=UTC), "By: December 2, 2026, 3:30\u202fPM CET\n"),
        (datetime(2026, 7, 3, 22, tzinfo=UTC), "By: the end of Friday, July 3, 2026 (CEST)\n"),
    ],
    ids=["a time", "the end of a day"],
)
def test_mails_go_by_the_clocks_of_the_shop_and_name_their_zone(due_at: datetime, words: str) -> None:
    letters = Letters(shop_name="Sutler", zone=ZoneInfo("Europe/Berlin"), transfer_to="a bank")
    order = replace(an_order_letter("Tea"), due_at=due_at)

    mail = letters.about_order(Occasion.TRANSFER_AWAITED, "transfer_awaited:1", "ada@example.com", order)

    assert words in mail.text


def test_what_products_are_called_cannot_become_markup() -> None:
    mail = Letters(shop_name="Sutler").about_order(
        Occasion.ORDER_CONFIRMED, "k", "a@example.com", an_order_letter("<script>alert(1)</script>")
    )

    assert "<script>" not in mail.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in mail.html
    assert "<script>alert(1)</script>" in mail.text


def test_a_name_that_a_template_does_not_know_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        Letters(shop_name="Sutler")._mail(Occasion.VERIFICATION, "k", "a@example.com")
