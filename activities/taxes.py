"""Tax steps: the provider is asked while nothing is locked, and its answer is kept."""

from db import baskets, tax_answers
from db.engine import Sessions
from domain.taxes import AskAboutTaxes, TaxesAsked
from providers.taxes import TaxProvider
from workflows.steps import taxes as steps


class TaxActivities:
    def __init__(self, provider: TaxProvider, sessions: Sessions) -> None:
        self._provider = provider
        self._sessions = sessions

    @steps.ask.performed_by
    async def ask(self, request: AskAboutTaxes) -> TaxesAsked:
        async with self._sessions.begin() as session:
            found = await baskets.priced(session, request.cart_id)
        if found is None or found.question is None:
            return TaxesAsked(is_answered=False)
        await tax_answers.ask(self._sessions, found.question, self._provider.assess)
        return TaxesAsked(is_answered=True)
