"""Partners who know which taxes are due."""

from providers.taxes.base import NoTaxProvider, TaxProvider, TaxProviderSilent
from providers.taxes.stripe import StripeTaxes, stripe_taxes

__all__ = ["NoTaxProvider", "StripeTaxes", "TaxProvider", "TaxProviderSilent", "stripe_taxes"]
