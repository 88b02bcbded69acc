"""A process that carries the letters which wait in the mailbox of a shop, once."""

import asyncio

from activities.mailbox import MailboxActivities
from runtime.resources import opened
from runtime.settings import Settings
from workers.notifications import letters_of, unsubscribe_links


async def carry() -> None:
    settings = Settings()
    async with opened(settings) as resources:
        links = unsubscribe_links(resources)
        mailbox = MailboxActivities(resources.sessions, resources.mailer, letters_of(settings), unsubscribe=links)
        await mailbox.carry_a_bundle()


if __name__ == "__main__":
    asyncio.run(carry())
