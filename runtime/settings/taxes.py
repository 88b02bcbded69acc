"""Who says which taxes are due."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from domain import baskets
from domain.money import Rounding
from domain.taxes import SHIPPING, STANDARD, Elsewhere, RoundedBy, TaxMode, TaxPolicy, WhenSilent
from runtime.settings.section import Section


class Tax(Section):
    """Which taxes are due, and who says so: `docs/taxes.md`."""

    mode: TaxMode = TaxMode.NONE
    """`none`: the shop takes no taxes. `table`: its own table of regions and rates says what is due. `provider`: Stripe
    Tax does, asked under the key and address of the payments by card."""
    elsewhere: Elsewhere = Elsewhere.REFUSE
    """What a destination means of which the table knows nothing: nothing is sold there, or it is taxed like home."""
    home_country: Annotated[str, Field(pattern=r"^([A-Z]{2})?$")] = ""
    """Where the shop is at home. Carts without an address are estimated by it; empty, they show no tax yet."""
    home_region: str = ""
    """The region there, such as a state, where the country's taxes differ by it."""
    home_postal_code: str = ""
    """The postal code there, where taxes differ by it."""
    rounding: Rounding = Rounding.HALF_UP
    """Where half a minor unit goes, of taxes and of discounts."""
    rounded_by: RoundedBy = RoundedBy.LINE
    """Whether each line's tax is rounded, or that of all lines with the same rates at once."""
    when_silent: WhenSilent = WhenSilent.REFUSE
    """While the provider does not answer, a checkout is refused (`refuse`), or goes by the `table` and says so."""
    inclusive_countries: tuple[Annotated[str, Field(pattern=r"^[A-Z]{2}$")], ...] = ()
    """Where prices contain their tax, as the provider is told, such as ``["DE", "FR"]``."""
    codes: dict[str, str] = Field(default={})
    """The provider's names of the shop's tax classes, beside those of `standard` and `shipping`."""
    timeout_seconds: Annotated[float, Field(gt=0, le=4)] = 2.5
    """How long one question to the provider may take; within eight seconds it is asked again."""
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    """After so many questions in a row that were not answered, a process leaves the provider alone for a while."""
    breaker_seconds: Annotated[float, Field(gt=0)] = 5.0
    """That while; then one question tries, and the others fail at once until that one was answered."""
    answers_hold_seconds: Annotated[int, Field(ge=1, le=86_400)] = 3600
    """How long an answer holds for the same goods to the same place."""

    @model_validator(mode="after")
    def has_the_home_that_it_needs(self) -> Self:
        if self.elsewhere is Elsewhere.HOME and not self.home_country:
            raise ValueError("APP_TAX__ELSEWHERE=home needs a home: set APP_TAX__HOME_COUNTRY")
        return self

    @property
    def policy(self) -> TaxPolicy:
        home = baskets.Destination(
            country=self.home_country, region=self.home_region or None, postal_code=self.home_postal_code
        )
        return TaxPolicy(
            mode=self.mode,
            elsewhere=self.elsewhere,
            home=home if self.home_country else None,
            rounding=self.rounding,
            rounded_by=self.rounded_by,
            when_silent=self.when_silent,
            inclusive_countries=self.inclusive_countries,
            answers_hold_seconds=self.answers_hold_seconds,
        )

    @property
    def all_codes(self) -> dict[str, str]:
        """Stripe's for goods that can be touched, and for shipping, unless the shop says something else."""
        return {STANDARD: "txcd_99999999", SHIPPING: "txcd_92010001", **self.codes}
