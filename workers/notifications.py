"""The notifications queue: letters on their way to the mail server."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from activities.carts import CartActivities
from activities.confirmations import ConfirmationActivities
from activities.mailbox import MailboxActivities
from activities.notifications import NotificationActivities
from domain.notifications import Occasion
from providers.mail.letters import Letters
from runtime.resources import Resources
from runtime.settings import Settings
from workers.duty import Duty
from workflows import names
from workflows.mailbox import Mailbox
from workflows.reminder import Reminder


def build(resources: Resources) -> Duty:
    settings = resources.settings
    letters = letters_of(settings)
    mailbox = MailboxActivities(resources.sessions, resources.mailer, letters, unsubscribe=unsubscribe_links(resources))
    reminders = CartActivities(resources.sessions, settings.carts.reminders)
    return Duty(
        workflows=[Mailbox, Reminder],
        activities=[mailbox.carry, reminders.remind],
        always={names.MAILBOX_ID: Mailbox},
    )


def unsubscribe_links(resources: Resources) -> Callable[[bytes], str]:
    def link(address_hash: bytes) -> str:
        return f"{resources.settings.shop.public_url}/unsubscribe?token={resources.tokens.unsubscribe(address_hash)}"

    return link


def letters_of(settings: Settings) -> Letters:
    shop = settings.shop
    return Letters(shop_name=shop.name, language=shop.language, zone=shop.zone, transfer_to=settings.transfer_to)


def account_notifications(resources: Resources) -> NotificationActivities:
    """The mails that a registration sends itself."""
    shop = resources.settings.shop

    def link(user_id: UUID, created_at: datetime) -> tuple[str, datetime]:
        tokens = resources.tokens
        token = tokens.verification(user_id, created_at)
        return f"{shop.public_url}/verify-email?token={token}", tokens.verifiable_until(created_at)

    return NotificationActivities(resources.autocommit, resources.mailer, letters_of(resources.settings), link=link)


PAGES = {
    Occasion.PASSWORD_RESET: "password-reset",
    Occasion.EMAIL_CHANGE_OLD: "email-change",
    Occasion.EMAIL_CHANGE_NEW: "email-change",
    Occasion.INVITATION: "invitation",
}
"""Where the links of mails lead."""


def mailed_links(resources: Resources) -> ConfirmationActivities:
    shop = resources.settings.shop

    def link(occasion: Occasion, token: str) -> str:
        return f"{shop.public_url}/{PAGES[occasion]}?token={token}"

    return ConfirmationActivities(resources.sessions, resources.mailer, letters_of(resources.settings), link=link)
