"""Shapes that several resources share."""

from typing import Annotated, Any, Self

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_validator, model_validator

from domain.catalog_files import why_not_storable
from domain.credit import LONGEST_CODE
from domain.errors import unacceptable
from domain.money import Money, minor_digits


def acceptable_email(email: str) -> str:
    try:
        # Addresses below .test are let in: nobody can own one, and everybody tries with one.
        return validate_email(email.strip(), check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError:
        raise ValueError("This is not an e-mail address.") from None


Email = Annotated[str, AfterValidator(acceptable_email), WithJsonSchema({"type": "string", "format": "email"})]


class Input(BaseModel):
    """What clients send: a field we do not know is refused, so that a typo is never silently ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @field_validator("*", mode="after")
    @classmethod
    def can_be_stored(cls, value: object) -> object:
        if isinstance(value, str) and (reason := why_not_storable(value)):
            raise ValueError(reason)
        return value


class Output(BaseModel):
    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class VersionedOutput(Output):
    """Whoever changes it can name the version that they have seen."""

    version: int


CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217", examples=["USD"])]


def check_currency(currency: str, *, pointer: str = "/currency") -> None:
    try:
        minor_digits(currency)
    except ValueError:
        raise unacceptable(pointer, "is not a currency of ISO 4217") from None


CardCode = Annotated[
    str, Field(min_length=1, max_length=LONGEST_CODE, description="Of a gift card", examples=["K7QP-29XM-HHTR-5ZED"])
]


class Amount(BaseModel):
    """Money: a decimal string with exactly the minor-unit digits of its ISO 4217 currency."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amount: str = Field(examples=["19.99"], max_length=32)
    currency: CurrencyCode

    @model_validator(mode="after")
    def has_the_currencys_digits(self) -> Self:
        self.as_money()
        return self

    def as_money(self) -> Money:
        return Money.parse(self.amount, self.currency)


def amount(minor: int, currency: str) -> dict[str, Any]:
    """How money is written in every answer."""
    return money(Money(minor, currency))


def money(of: Money) -> dict[str, Any]:
    return {"amount": of.amount, "currency": of.currency}
