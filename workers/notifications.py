"""Who writes the shop's mails, on whichever queue they are asked for."""

from datetime import datetime
from uuid import UUID

from activities.notifications import NotificationActivities
from providers.mail.letters import Letters
from runtime.resources import Resources


def notification_activities(resources: Resources) -> NotificationActivities:
    shop = resources.settings.shop

    def link(user_id: UUID, created_at: datetime) -> tuple[str, datetime]:
        tokens = resources.tokens
        token = tokens.verification(user_id, created_at)
        return f"{shop.public_url}/verify-email?token={token}", tokens.verifiable_until(created_at)

    return NotificationActivities(resources.autocommit, resources.mailer, Letters(shop_name=shop.name), link=link)
