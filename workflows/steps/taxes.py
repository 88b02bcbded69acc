"""What a story may ask about taxes."""

from domain.taxes import AskAboutTaxes, TaxesAsked
from workflows.steps.patience import ONE_QUESTION
from workflows.steps.step import Step

ask = Step("taxes.ask", AskAboutTaxes, TaxesAsked, ONE_QUESTION)
"""Have the provider say what is due on the cart, and keep its answer for whoever prices the same content."""
