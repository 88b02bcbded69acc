"""Asking the tax provider where no workflow does: for a preview, and while the workflow engine is away."""

from uuid import UUID

import structlog

from db import baskets, tax_answers
from domain.taxes import TaxQuestion
from providers.taxes import TaxProviderSilent
from runtime.resources import Resources

log = structlog.get_logger()


async def is_heard(question: TaxQuestion, resources: Resources) -> bool:
    """Asked once; false when the provider is silent."""
    try:
        await tax_answers.ask(resources.sessions, question, resources.taxes.assess)
    except TaxProviderSilent as silence:
        log.warning("tax_provider_silent", why=str(silence))
        return False
    return True


async def is_heard_about(cart_id: UUID, resources: Resources) -> bool:
    async with resources.autocommit() as session:
        found = await baskets.priced(session, cart_id)
    return found is None or found.question is None or await is_heard(found.question, resources)
