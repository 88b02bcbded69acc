"""Promotions: what they take off a basket, in which order, and why others take nothing off."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cached_property
from typing import TypeVar
from uuid import UUID

from domain.baskets import Basket, Code, Line
from domain.money import Money, Rounding, of_parts, split

Named = TypeVar("Named", UUID, str)

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
    """What the promotions take off the basket, with what its shipping costs."""
    return Offers(basket, promotions).reduction(basket.shipping.minor)


class Offers:
    """The promotions that apply to a basket's goods, before anybody knows what shipping costs."""

    def __init__(self, basket: Basket, promotions: Iterable[Promotion]) -> None:
        entered = {code.promotion_id: code for code in reversed(basket.codes) if code.promotion_id is not None}
        known = {each.id: each for each in promotions if not each.needs_code or each.id in entered}
        self._currency, self._rounding = basket.currency, basket.rounding
        self._goods = _Goods(basket.lines)
        self._not_applied = list(_useless_codes(basket.codes, entered, known))
        self._fitting: list[_Candidate] = []
        for promotion in sorted(known.values(), key=lambda each: each.precedence):
            candidate = _Candidate(promotion, entered.get(promotion.id) if promotion.needs_code else None, self._goods)
            if (no := candidate.why_not(basket)) is None:
                self._fitting.append(candidate)
            else:
                self._not_applied.append(no)
        self._lower_shipping = any(each.promotion.benefit.on is On.SHIPPING for each in self._fitting)
        self._whatever_shipping_costs: Reduction | None = None

    def reduction(self, shipping: int) -> Reduction:
        """What they take off: first off single lines, then off the order, then off the costs of shipping.

        Within each of these, the one of the highest priority comes first, and each sees what those before it have
        left. Nothing ever costs less than nothing.
        """
        if self._lower_shipping:
            return self._reduction(shipping)
        if self._whatever_shipping_costs is None:
            self._whatever_shipping_costs = self._reduction(shipping)
        return self._whatever_shipping_costs

    def _reduction(self, shipping: int) -> Reduction:
        till = _Till(self._goods, self._currency, shipping, self._rounding)
        chosen, passed_over = _chosen(self._fitting, till)
        applied = []
        for candidate in sorted(chosen, key=lambda each: STAGES[each.promotion.benefit.on]):
            given = till.give(candidate)
            if given.lines or given.shipping.minor:
                applied.append(given)
            else:
                passed_over.append(
                    candidate.because(Reason.NOTHING_TO_REDUCE, "Nothing that it could lower costs anything.")
                )
        return Reduction(
            lines=till.given_on_lines,
            shipping=till.given_on_shipping,
            applied=tuple(applied),
            not_applied=(*self._not_applied, *passed_over),
        )


class _Goods:
    """The lines of a basket, and their places by what promotions look at, so that no promotion looks at each line."""

    def __init__(self, lines: Iterable[Line]) -> None:
        # By their ids, so that it makes no difference in which order they are listed.
        self.lines = sorted(lines, key=lambda line: line.id.int)
        self.full = [line.unit_price.minor * line.quantity for line in self.lines]
        self.ids = [line.id for line in self.lines]
        self.quantities = [line.quantity for line in self.lines]
        self._all = range(len(self.lines))
        self._products: defaultdict[UUID, set[int]] = defaultdict(set)
        self._variants: defaultdict[UUID, set[int]] = defaultdict(set)
        self._categories: defaultdict[UUID, set[int]] = defaultdict(set)
        self._brands: defaultdict[str, set[int]] = defaultdict(set)
        self._tags: defaultdict[str, set[int]] = defaultdict(set)
        for place, line in enumerate(self.lines):
            self._products[line.product_id].add(place)
            self._variants[line.variant_id].add(place)
            for category in line.categories:
                self._categories[category].add(place)
            if line.brand is not None:
                self._brands[line.brand].add(place)
            for tag in line.tags:
                self._tags[tag].add(place)

    @cached_property
    def cheapest_first(self) -> list[int]:
        return sorted(self._all, key=lambda place: (self.lines[place].unit_price.minor, place))

    def places_of(self, items: Items) -> Sequence[int]:
        """Of the lines that are among the items, in their order."""
        kinds: list[set[int]] = []
        if items.categories:
            kinds.append(_at(items.categories, self._categories))
        if items.brands:
            kinds.append(_at(items.brands, self._brands))
        if items.tags:
            kinds.append(_at(items.tags, self._tags))
        if items.products or items.variants:
            kinds.append(_at(items.products, self._products) | _at(items.variants, self._variants))
        return sorted(set.intersection(*kinds)) if kinds else self._all


def _at(named: frozenset[Named], known: Mapping[Named, set[int]]) -> set[int]:
    return set[int]().union(*(known[one] for one in named & known.keys()))


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

    def __init__(self, promotion: Promotion, code: Code | None, goods: _Goods) -> None:
        self.promotion = promotion
        self.code = code
        self.places = goods.places_of(promotion.items)
        self._goods = goods

    @cached_property
    def units_got(self) -> dict[int, int]:
        """Of each line, by its place, so many units become cheaper because others are bought."""
        benefit = self.promotion.benefit
        if not isinstance(benefit, BuyAndGet):
            return {}
        return got(benefit, self.places, self._goods.places_of(benefit.gets) if benefit.gets else None, self._goods)

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
            worth = sum(self._goods.full[place] for place in self.places)
            if worth < minimum:
                costs, begins = Money(worth, currency), Money(minimum, currency)
                return self.because(
                    Reason.MINIMUM_NOT_REACHED, f"What counts for it costs {costs}; it begins at {begins}."
                )
        if isinstance(promotion.benefit, BuyAndGet) and not self.units_got:
            wanted = f"{promotion.benefit.buy} to buy and {promotion.benefit.get} to get for it"
            return self.because(Reason.NO_ELIGIBLE_ITEM, f"There must be {wanted} in the cart.")
        return None


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

    def __init__(self, goods: _Goods, currency: str, shipping: int, rounding: Rounding) -> None:
        self._currency, self._rounding = currency, rounding
        self._goods = goods
        self._left = list(goods.full)
        self._shipping = self._shipping_left = shipping

    @property
    def given_on_lines(self) -> dict[UUID, int]:
        each = zip(self._goods.ids, self._goods.full, self._left, strict=True)
        return {line: full - left for line, full, left in each if full != left}

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
        ids, currency = self._goods.ids, self._currency
        return Applied(
            promotion=candidate.promotion,
            code=candidate.code.text if candidate.code else None,
            lines={ids[place]: Money(given, currency) for place, given in lines.items() if given},
            shipping=Money(shipping, currency),
        )

    def _worth(self, candidate: _Candidate) -> tuple[dict[int, int], int]:
        """What it takes off each line, by its place, and off shipping."""
        benefit, places, left = candidate.promotion.benefit, candidate.places, self._left
        match benefit:
            case BuyAndGet():
                return self._off_units(candidate.units_got, benefit.percent), 0
            case PercentOff(percent=percent, on=On.SHIPPING):
                return {}, self._percent_of(self._shipping_left, percent)
            case AmountOff(amounts=amounts, on=On.SHIPPING):
                return {}, min(amounts[self._currency], self._shipping_left)
            case PercentOff(percent=percent, on=On.ORDER):
                return self._shared(self._percent_of(sum(left[place] for place in places), percent), places), 0
            case AmountOff(amounts=amounts, on=On.ORDER):
                return self._shared(amounts[self._currency], places), 0
            case PercentOff(percent=percent):
                share, whole = percent.as_integer_ratio()
                return {place: of_parts(left[place] * share, 100 * whole, self._rounding) for place in places}, 0
            case AmountOff(amounts=amounts, on=On.UNIT):
                each = amounts[self._currency]
                return {place: min(each * self._goods.quantities[place], left[place]) for place in places}, 0
            case AmountOff(amounts=amounts):
                each = amounts[self._currency]
                return {place: min(each, left[place]) for place in places}, 0

    def _percent_of(self, amount: int, percent: Decimal) -> int:
        share, whole = percent.as_integer_ratio()
        return of_parts(amount * share, 100 * whole, self._rounding)

    def _shared(self, amount: int, places: Sequence[int]) -> dict[int, int]:
        """The amount, as far as the lines still cost so much, in shares by what they cost."""
        left = [self._left[place] for place in places]
        if not any(left):
            return {}
        return dict(zip(places, split(min(amount, sum(left)), left), strict=True))

    def _off_units(self, units: Mapping[int, int], percent: Decimal) -> dict[int, int]:
        """The percentage of so many units of each line, which share evenly in what the line still costs."""
        share, whole = percent.as_integer_ratio()
        return {
            place: of_parts(
                self._left[place] * share * count, 100 * whole * self._goods.quantities[place], self._rounding
            )
            for place, count in units.items()
        }


def got(benefit: BuyAndGet, bought: Sequence[int], gets: Sequence[int] | None, goods: _Goods) -> dict[int, int]:
    """Units of each line, by its place, that become cheaper: the cheapest, as far as enough others are left to buy.

    No unit counts twice, also where the same things are bought and got, as they are where nothing else is named.
    """
    quantities, can_be_bought = goods.quantities, set(bought)
    can_be_got = can_be_bought if gets is None else set(gets)
    only_bought = sum(quantities[place] for place in can_be_bought - can_be_got)
    only_got = sum(quantities[place] for place in can_be_got - can_be_bought)
    either = sum(quantities[place] for place in can_be_got & can_be_bought)
    times = min(
        (only_bought + either) // benefit.buy,
        (only_got + either) // benefit.get,
        (only_bought + only_got + either) // (benefit.buy + benefit.get),
        *([benefit.at_most] if benefit.at_most is not None else ()),
    )
    wanted = times * benefit.get
    spare = either - max(0, times * benefit.buy - only_bought)
    units: dict[int, int] = {}
    for place in goods.cheapest_first:
        if not wanted:
            break
        if place not in can_be_got:
            continue
        count = min(quantities[place], wanted, spare if place in can_be_bought else wanted)
        wanted -= count
        if place in can_be_bought:
            spare -= count
        if count:
            units[place] = count
    return units
