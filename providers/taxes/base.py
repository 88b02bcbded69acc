"""What the shop expects of every partner who knows taxes."""

from typing import Protocol

from domain.taxes import TaxAnswer, TaxQuestion


class TaxProviderSilent(Exception):
    """There was no answer, or none that could be believed; to ask again harms nobody."""


class TaxProvider(Protocol):
    """Is asked about what goes where and costs how much; nothing is written there that somebody would have to undo."""

    name: str

    async def assess(self, question: TaxQuestion) -> TaxAnswer:
        """What is due; raises ``TaxProviderSilent``.

        A place, or goods, of which the provider knows nothing are an answer too, and never one of no tax.
        """


class NoTaxProvider:
    """For shops that ask nobody."""

    name = "none"

    async def assess(self, question: TaxQuestion) -> TaxAnswer:  # noqa: ARG002
        raise TaxProviderSilent("this shop asks nobody about taxes")
