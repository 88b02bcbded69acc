"""Promotions: what they take off a basket, in which order, and why others take nothing off."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from uuid import UUID

from domain.baskets import Basket, Code, Line
from domain.money import Money, split

MOST_CODES = 10
"""So many codes fit into one cart."""
LONGEST_CODE = 50


def normalised(code: str) -> str:
    """How a code is kept and compared; what people type is upper case or not, with blanks around it or not."""
    return code.strip().upper()


class On(StrEnum):
    """What a percentage or an amount is taken off."""

    UNIT = "unit"
    LINE = "line"
    ORDER = "order"
    SHIPPING = "shipping"


class Combination(StrEnum):
    """What a promotion does beside others."""

    WITH_OTHERS = "with_others"
    BEST_OF = "best_of"
    """Of those that are marked so, the one that gives most, together with all that go with others."""
    EXCLUSIVE = "exclusive"
    """Alone, unless one of a higher priority applies."""


class Reason(StrEnum):
    """Why a promotion takes nothing off."""

    UNKNOWN = "unknown"
    NOT_YET = "not_yet"
    OVER = "over"
    USED_UP = "used_up"
    USED_UP_BY_YOU = "used_up_by_you"
    MINIMUM_NOT_REACHED = "minimum_not_reached"
    NO_ELIGIBLE_ITEM = "no_eligible_item"
    NOT_FOR_THIS_CUSTOMER = "not_for_this_customer"
    NOT_IN_THIS_CURRENCY = "not_in_this_currency"
    NOT_COMBINABLE = "not_combinable"
    NOTHING_TO_REDUCE = "nothing_to_reduce"
    """It would apply, but nothing that it could lower costs anything: shipping is not chosen yet, or free already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Items:
    """Which lines: each kind of thing that is named narrows, and nothing named is everything."""

    products: frozenset[UUID] = frozenset()
    variants: frozenset[UUID] = frozenset()
    """One of these products or one of these variants."""
    categories: frozenset[UUID] = frozenset()
    """In one of these, or below."""
    brands: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()

    def include(self, line: Line) -> bool:
        if (self.products or self.variants) and not (
            line.product_id in self.products or line.variant_id in self.variants
        ):
            return False
        return (
            (not self.categories or not self.categories.isdisjoint(line.categories))
            and (not self.brands or line.brand in self.brands)
            and (not self.tags or not self.tags.isdisjoint(line.tags))
        )


EVERYTHING = Items()


@dataclass(frozen=True, kw_only=True, slots=True)
class PercentOff:
    percent: Decimal
    on: On


@dataclass(frozen=True, kw_only=True, slots=True)
class AmountOff:
    amounts: Mapping[str, int]
    """By currency, in minor units."""
    on: On


@dataclass(frozen=True, kw_only=True, slots=True)
class BuyAndGet:
    """For so many units that are bought, so many others are cheaper, or free: the cheapest of the basket."""

    buy: int
    get: int
    percent: Decimal = Decimal(100)
    gets: Items | None = None
    """What becomes cheaper; ``None`` for the same things that have to be bought."""
    at_most: int | None = None
    """How many times over in one order."""

    on = On.LINE


Benefit = PercentOff | AmountOff | BuyAndGet


@dataclass(frozen=True, kw_only=True, slots=True)
class Promotion:
    id: UUID
    name: str
    benefit: Benefit
    items: Items = EVERYTHING
    """What it is taken off, or what has to be bought for it."""
    minimums: Mapping[str, int] = field(default_factory=dict)
    """By currency, what these items must cost before anything is taken off them."""
    groups: frozenset[str] = frozenset()
    """Customers of one of these only."""
    is_for_first_order: bool = False
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    needs_code: bool = False
    priority: int = 0
    """The highest comes first."""
    combination: Combination = Combination.WITH_OTHERS

    @property
    def precedence(self) -> tuple[int, int]:
        return -self.priority, self.id.int


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What a promotion has taken off what."""

    promotion: Promotion
    code: str | None
    lines: Mapping[UUID, Money]
    """By the line's id."""
    shipping: Money

    @property
    def amount(self) -> Money:
        return sum(self.lines.values(), start=self.shipping)


@dataclass(frozen=True, kw_only=True, slots=True)
class NotApplied:
    """Why a promotion, or a code, takes nothing off."""

    reason: Reason
    detail: str
    promotion: Promotion | None = None
    code: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reduction:
    """What all promotions together take off a basket, and the trace of it."""

    lines: Mapping[UUID, int]
    """By the line's id, minor units; lines that are not named keep their price."""
    shipping: int
    applied: tuple[Applied, ...]
    not_applied: tuple[NotApplied, ...]


class PromotionIndex:
    """Promotions by what they look at, so that a cart need not ask all of them."""

    def __init__(self, promotions: Iterable[Promotion]) -> None:
        self._for_all: list[Promotion] = []
        self._by_sign: defaultdict[UUID | tuple[str, str], list[Promotion]] = defaultdict(list)
        for promotion in promotions:
            signs = _signs_of(promotion.items)
            if not signs:
                self._for_all.append(promotion)
            for sign in signs:
                self._by_sign[sign].append(promotion)

    def for_lines(self, lines: Iterable[Line]) -> list[Promotion]:
        """Those that may find something among the lines; none of the others does."""
        found = {promotion.id: promotion for promotion in self._for_all}
        if self._by_sign:
            signs = {sign for line in lines for sign in _signs(line)}
            for sign in signs & self._by_sign.keys():
                found.update((promotion.id, promotion) for promotion in self._by_sign[sign])
        return list(found.values())


def _signs_of(items: Items) -> Collection[UUID | tuple[str, str]]:
    """By which it is found: the things that are named most closely."""
    return (
        items.products | items.variants
        or items.categories
        or {("brand", brand) for brand in items.brands}
        or {("tag", tag) for tag in items.tags}
    )


def _signs(line: Line) -> Iterable[UUID | tuple[str, str]]:
    yield line.product_id
    yield line.variant_id
    yield from line.categories
    if line.brand is not None:
        yield "brand", line.brand
    for tag in line.tags:
        yield "tag", tag


def reduction(basket: Basket, promotions: Iterable[Promotion]) -> Reduction:
    """What the promotions take off: first off single lines, then off the order, then off the costs of shipping.

    Within each of these, the one of the highest priority comes first, and each sees what those before it have left.
    Nothing ever costs less than nothing.
    """
    entered = {code.promotion_id: code for code in reversed(basket.codes) if code.promotion_id is not None}
    known = {each.id: each for each in promotions if not each.needs_code or each.id in entered}
    not_applied = list(_useless_codes(basket.codes, entered, known))
    # By their ids, so that it makes no difference in which order they are listed.
    lines = sorted(basket.lines, key=lambda line: line.id.int)
    fitting: list[_Candidate] = []
    for promotion in sorted(known.values(), key=lambda each: each.precedence):
        candidate = _Candidate(promotion, entered.get(promotion.id) if promotion.needs_code else None, lines)
        if (no := candidate.why_not(basket)) is None:
            fitting.append(candidate)
        else:
            not_applied.append(no)
    till = _Till(lines, basket)
    chosen, passed_over = _chosen(fitting, till)
    applied = []
    for candidate in sorted(chosen, key=lambda each: STAGES[each.promotion.benefit.on]):
        given = till.give(candidate)
        if given.amount.minor:
            applied.append(given)
        else:
            passed_over.append(
                candidate.because(Reason.NOTHING_TO_REDUCE, "Nothing that it could lower costs anything.")
            )
    return Reduction(
        lines=till.given_on_lines,
        shipping=till.given_on_shipping,
        applied=tuple(applied),
        not_applied=(*not_applied, *passed_over),
    )


STAGES = {On.UNIT: 0, On.LINE: 0, On.ORDER: 1, On.SHIPPING: 2}


def _useless_codes(
    codes: Sequence[Code], entered: Mapping[UUID, Code], known: Mapping[UUID, Promotion]
) -> Iterable[NotApplied]:
    """Codes that nothing stands behind, or that another one stands for as well."""
    for code in codes:
        promotion = known.get(code.promotion_id) if code.promotion_id is not None else None
        if code.promotion_id is None:
            yield NotApplied(reason=Reason.UNKNOWN, detail="There is no such code.", code=code.text)
        elif promotion is None:
            yield NotApplied(reason=Reason.OVER, detail="This code is not valid any more.", code=code.text)
        elif (first := entered[promotion.id]).text != code.text:
            yield NotApplied(
                reason=Reason.NOT_COMBINABLE,
                detail=f"{first.text} stands for the same promotion, which counts once.",
                promotion=promotion,
                code=code.text,
            )


class _Candidate:
    """A promotion that might apply, and which of the lines it looks at, by their places."""

    def __init__(self, promotion: Promotion, code: Code | None, lines: Sequence[Line]) -> None:
        self.promotion = promotion
        self.code = code
        self.all_lines = lines
        include = promotion.items.include
        self.places = [place for place, line in enumerate(lines) if include(line)]

    def because(self, reason: Reason, detail: str) -> NotApplied:
        code = self.code.text if self.code else None
        return NotApplied(reason=reason, detail=detail, promotion=self.promotion, code=code)

    def why_not(self, basket: Basket) -> NotApplied | None:
        """Why it does not apply to this basket, whatever else does."""
        promotion, shopper = self.promotion, basket.shopper
        if promotion.starts_at is not None and basket.at < promotion.starts_at:
            return self.because(Reason.NOT_YET, f"It begins at {promotion.starts_at:%Y-%m-%d %H:%M} UTC.")
        if promotion.ends_at is not None and basket.at >= promotion.ends_at:
            return self.because(Reason.OVER, f"It was over at {promotion.ends_at:%Y-%m-%d %H:%M} UTC.")
        if promotion.id in basket.used_up or (self.code is not None and self.code.is_used_up):
            return self.because(Reason.USED_UP, "It has been used as often as it can be.")
        if promotion.id in basket.used_up_by_shopper:
            return self.because(Reason.USED_UP_BY_YOU, "You have used it as often as one customer can.")
        if promotion.groups and promotion.groups.isdisjoint(shopper.groups):
            return self.because(Reason.NOT_FOR_THIS_CUSTOMER, "It is for certain customers only.")
        if promotion.is_for_first_order and shopper.orders_before:
            return self.because(Reason.NOT_FOR_THIS_CUSTOMER, "It is for a customer's first order.")
        if not self.places:
            return self.because(Reason.NO_ELIGIBLE_ITEM, "Nothing in the cart is part of it.")
        return self._why_not_worth_it(basket)

    def _why_not_worth_it(self, basket: Basket) -> NotApplied | None:
        promotion, currency = self.promotion, basket.currency
        amounts = (promotion.minimums, promotion.benefit.amounts if isinstance(promotion.benefit, AmountOff) else {})
        if any(named and currency not in named for named in amounts):
            return self.because(Reason.NOT_IN_THIS_CURRENCY, f"It does not apply to orders in {currency}.")
        if minimum := promotion.minimums.get(currency, 0):
            worth = sum(_full_price(self.all_lines[place]) for place in self.places)
            if worth < minimum:
                costs, begins = Money(worth, currency), Money(minimum, currency)
                return self.because(
                    Reason.MINIMUM_NOT_REACHED, f"What counts for it costs {costs}; it begins at {begins}."
                )
        if isinstance(promotion.benefit, BuyAndGet) and not got(promotion.benefit, promotion.items, self.all_lines):
            wanted = f"{promotion.benefit.buy} to buy and {promotion.benefit.get} to get for it"
            return self.because(Reason.NO_ELIGIBLE_ITEM, f"There must be {wanted} in the cart.")
        return None


def _full_price(line: Line) -> int:
    return line.unit_price.minor * line.quantity


def _chosen(fitting: Sequence[_Candidate], till: "_Till") -> tuple[list[_Candidate], list[NotApplied]]:
    """Those of the candidates that go together, and why the others do not."""
    if (alone := _exclusive(fitting, till)) is not None:
        reason = f"{alone.promotion.name} is not combined with others."
        return [alone], [each.because(Reason.NOT_COMBINABLE, reason) for each in fitting if each is not alone]
    best = _best([each for each in fitting if each.promotion.combination is Combination.BEST_OF], till)
    chosen, passed_over = [], []
    for candidate in fitting:
        match candidate.promotion.combination:
            case Combination.EXCLUSIVE:
                reason = "It is not combined with others, and others come first."
                passed_over.append(candidate.because(Reason.NOT_COMBINABLE, reason))
            case Combination.BEST_OF if best is not None and candidate is not best:
                reason = f"It is not combined with {best.promotion.name}, which gives more."
                passed_over.append(candidate.because(Reason.NOT_COMBINABLE, reason))
            case _:
                chosen.append(candidate)
    return chosen, passed_over


def _exclusive(fitting: Sequence[_Candidate], till: "_Till") -> _Candidate | None:
    """The exclusive promotion that gives most, of those with the highest priority of all that give anything."""
    exclusive = [each for each in fitting if each.promotion.combination is Combination.EXCLUSIVE]
    giving = [each for each in exclusive if till.would_give(each)]
    if not giving:
        return None
    highest = giving[0].promotion.priority
    others = (each for each in fitting if each.promotion.combination is not Combination.EXCLUSIVE)
    if any(each.promotion.priority > highest and till.would_give(each) for each in others):
        return None
    return _best([each for each in giving if each.promotion.priority == highest], till)


def _best(candidates: Sequence[_Candidate], till: "_Till") -> _Candidate | None:
    """The one that would give most alone; of several, the first."""
    return max(candidates, key=till.would_give, default=None)


class _Till:
    """What lines and shipping still cost while one promotion after the other is taken off."""

    def __init__(self, lines: Sequence[Line], basket: Basket) -> None:
        self._currency = basket.currency
        self._lines = lines
        self._left = [_full_price(line) for line in lines]
        self._shipping = basket.shipping.minor
        self._shipping_left = self._shipping

    @property
    def given_on_lines(self) -> dict[UUID, int]:
        both = zip(self._lines, self._left, strict=True)
        return {line.id: full - left for line, left in both if (full := _full_price(line)) != left}

    @property
    def given_on_shipping(self) -> int:
        return self._shipping - self._shipping_left

    def would_give(self, candidate: _Candidate) -> int:
        """What it would take off if it came next; before any was, what it would give alone."""
        lines, shipping = self._worth(candidate)
        return sum(lines.values()) + shipping

    def give(self, candidate: _Candidate) -> Applied:
        """Take the promotion off what is left."""
        lines, shipping = self._worth(candidate)
        for place, given in lines.items():
            self._left[place] -= given
        self._shipping_left -= shipping
        return Applied(
            promotion=candidate.promotion,
            code=candidate.code.text if candidate.code else None,
            lines={self._lines[place].id: Money(given, self._currency) for place, given in lines.items() if given},
            shipping=Money(shipping, self._currency),
        )

    def _worth(self, candidate: _Candidate) -> tuple[dict[int, int], int]:
        """What it takes off each line, by its place, and off shipping."""
        benefit, places, left = candidate.promotion.benefit, candidate.places, self._left
        match benefit:
            case BuyAndGet():
                return self._off_units(got(benefit, candidate.promotion.items, self._lines), benefit.percent), 0
            case PercentOff(percent=percent, on=On.SHIPPING):
                return {}, percent_of(self._shipping_left, percent)
            case AmountOff(amounts=amounts, on=On.SHIPPING):
                return {}, min(amounts[self._currency], self._shipping_left)
            case PercentOff(percent=percent, on=On.ORDER):
                return self._shared(percent_of(sum(left[place] for place in places), percent), places), 0
            case AmountOff(amounts=amounts, on=On.ORDER):
                return self._shared(amounts[self._currency], places), 0
            case PercentOff(percent=percent):
                return {place: percent_of(left[place], percent) for place in places}, 0
            case AmountOff(amounts=amounts, on=On.UNIT):
                each = amounts[self._currency]
                return {place: min(each * self._lines[place].quantity, left[place]) for place in places}, 0
            case AmountOff(amounts=amounts):
                return {place: min(amounts[self._currency], left[place]) for place in places}, 0

    def _shared(self, amount: int, places: Sequence[int]) -> dict[int, int]:
        """The amount, as far as the lines still cost so much, in shares by what they cost."""
        left = [self._left[place] for place in places]
        if not any(left):
            return {}
        return dict(zip(places, split(min(amount, sum(left)), left), strict=True))

    def _off_units(self, units: Mapping[int, int], percent: Decimal) -> dict[int, int]:
        """The percentage of so many units of each line, which share evenly in what the line still costs."""
        return {
            place: percent_of(self._left[place], percent, part=Fraction(count, self._lines[place].quantity))
            for place, count in units.items()
        }


def got(benefit: BuyAndGet, buys: Items, lines: Sequence[Line]) -> dict[int, int]:
    """Units of each line, by its place, that become cheaper: the cheapest, as far as enough others are left to buy.

    No unit counts twice, also where the same things are bought and got.
    """
    gets = benefit.gets or buys
    can_be_bought = {place for place, line in enumerate(lines) if buys.include(line)}
    can_be_got = [place for place, line in enumerate(lines) if gets.include(line)]
    only_bought = sum(lines[place].quantity for place in can_be_bought.difference(can_be_got))
    only_got = sum(lines[place].quantity for place in can_be_got if place not in can_be_bought)
    either = sum(lines[place].quantity for place in can_be_got if place in can_be_bought)
    times = min(
        (only_bought + either) // benefit.buy,
        (only_got + either) // benefit.get,
        (only_bought + only_got + either) // (benefit.buy + benefit.get),
        *([benefit.at_most] if benefit.at_most is not None else ()),
    )
    wanted = times * benefit.get
    spare = either - max(0, times * benefit.buy - only_bought)
    units: dict[int, int] = {}
    for place in sorted(can_be_got, key=lambda place: (lines[place].unit_price.minor, place)):
        count = min(lines[place].quantity, wanted, spare if place in can_be_bought else wanted)
        wanted -= count
        if place in can_be_bought:
            spare -= count
        if count:
            units[place] = count
    return units


WHOLE = Fraction(1)


def percent_of(amount: int, percent: Decimal, *, part: Fraction = WHOLE) -> int:
    """The percentage of an amount, or of a part of it, to the next whole minor unit; half of one is rounded up."""
    rate, whole = percent.as_integer_ratio()
    exact, whole = amount * rate * part.numerator, whole * 100 * part.denominator
    return (2 * exact + whole) // (2 * whole)
