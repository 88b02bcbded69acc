"""What holds of a quiet shop, whatever was done to it."""

from collections.abc import Iterator

from chaos.books import Books, Money, Row
from chaos.wishes import Diary

NOTHING = Money()
LOOKED_UP = ("refused", "cancelled")
"""A refusal that the customer did not hear but saw on the order; why it was refused, another answer may say."""


def violations(books: Books, diary: Diary) -> list[str]:
    """Every breach of every law, each in one sentence that names its rows; empty when nothing was lost."""
    laws = (_every_order_is_decided, _money_follows_orders, _money_has_an_order, _stock_adds_up, _holds_have_owners)
    more = (_parcels_carry_what_was_ordered, _timelines_are_whole, _stories_follow_orders)
    found = [breach for law in (*laws, *more) for breach in law(books)]
    return [*diary.bugs, *found, *_every_wish_has_one_answer(books, diary)]


def longest_undecided(books: Books, diary: Diary) -> float:
    """Seconds that any order was neither confirmed nor cancelled, apart from the time its customer took."""
    longest = 0.0
    for order in books.tables["orders"]:
        if order["decided_at"] is None:
            continue
        legs = [(order["asked_at"], order["challenged_at"] or order["decided_at"])]
        if order["challenged_at"]:
            legs.append((diary.acted_at.get(order["id"], order["challenged_at"]), order["decided_at"]))
        longest = max(longest, *((until - since).total_seconds() for since, until in legs))
    return longest


def _every_order_is_decided(books: Books) -> Iterator[str]:
    for order in books.tables["orders"]:
        if order["status"] == "pending":
            yield f"order {order['id']} is still pending"


def _money_follows_orders(books: Books) -> Iterator[str]:
    for order in books.tables["orders"]:
        money = books.money.get(order["id"], NOTHING)
        said = f"order {order['id']} is {order['status']}/{order['payment_status']} of {order['total']}, but the ledger"
        if money.times.get("authorize", 0) > 1 or money.authorize > order["total"]:
            yield f"{said} has {money.times.get('authorize', 0)} authorisations of {money.authorize}"
        if money.kept != order["captured"] - order["refunded"]:
            yield f"{said} keeps {money.kept} where the books keep {order['captured'] - order['refunded']}"
        if order["status"] == "cancelled" and (money.held or money.kept):
            yield f"{said} holds {money.held} and keeps {money.kept}"
        if order["status"] == "confirmed" and money.held + money.capture != order["total"]:
            yield f"{said} holds {money.held} and took {money.capture}"
        if order["status"] in ("shipped", "delivered") and (money.held or money.capture != order["total"]):
            yield f"{said} holds {money.held} and took {money.capture}"


def _money_has_an_order(books: Books) -> Iterator[str]:
    known = {order["id"] for order in books.tables["orders"]}
    for owner, money in books.money.items():
        if owner not in known and (money.held or money.kept):
            yield f"the ledger holds {money.held} and keeps {money.kept} for {owner}, which is no order"


def _stock_adds_up(books: Books) -> Iterator[str]:
    for stock in books.tables["stock"]:
        if stock["on_hand"] != stock["moved_on_hand"] or stock["reserved"] != stock["moved_reserved"]:
            yield f"stock of variant {stock['variant_id']} is not what its movements add up to"
        if stock["reserved"] != stock["held"]:
            yield f"variant {stock['variant_id']} has {stock['reserved']} reserved, but orders hold {stock['held']}"


def _holds_have_owners(books: Books) -> Iterator[str]:
    for hold in books.tables["holds"]:
        is_open = hold["quantity"] - hold["shipped"] - hold["released"]
        wrong = {
            None: is_open > 0,
            "cancelled": is_open > 0 or hold["shipped"] > 0,
            "confirmed": hold["expires"],
            "shipped": is_open > 0,
            "delivered": is_open > 0,
        }
        if wrong.get(hold["status"], False):
            yield f"order {hold['order_id']} is {hold['status']} and still holds {is_open} units"


def _parcels_carry_what_was_ordered(books: Books) -> Iterator[str]:
    ordered = {row["order_id"]: row["units"] for row in books.tables["lines"]}
    packed: dict[str, int] = {}
    for parcel in books.tables["parcels"]:
        if parcel["status"] != "cancelled":
            packed[parcel["order_id"]] = packed.get(parcel["order_id"], 0) + parcel["units"]
    for order_id, units in packed.items():
        if units > ordered[order_id]:
            yield f"order {order_id} has {ordered[order_id]} units, but its parcels carry {units}"
    for order in books.tables["orders"]:
        if order["status"] in ("shipped", "delivered") and packed.get(order["id"], 0) != ordered[order["id"]]:
            yield f"order {order['id']} is {order['status']}, but {packed.get(order['id'], 0)} units left"


def _timelines_are_whole(books: Books) -> Iterator[str]:
    for row in books.tables["gaps"]:
        yield f"the timeline of order {row['order_id']} has gaps, or says something twice"


def _stories_follow_orders(books: Books) -> Iterator[str]:
    for order in books.tables["orders"]:
        is_over = order["status"] in ("delivered", "cancelled")
        if is_over is (order["id"] in books.running):
            yield f"order {order['id']} is {order['status']}, its workflow is {'running' if is_over else 'gone'}"


def _every_wish_has_one_answer(books: Books, diary: Diary) -> Iterator[str]:
    orders: dict[str, Row] = {order["id"]: order for order in books.tables["orders"]}
    for row in books.tables["double_carts"]:
        yield f"cart {row['cart_id']} became more than one order"
    for wish in diary.wishes:
        if len(wish.order_ids) > 1:
            yield f"key {wish.key} named {len(wish.order_ids)} orders"
        if len(wish.answers - {LOOKED_UP}) > 1 or len({kind for kind, _ in wish.answers}) > 1:
            yield f"key {wish.key} was answered {sorted(wish.answers)}"
        if not wish.answers and not wish.is_left_alone:
            yield f"key {wish.key} was never answered"
        for kind, what in wish.answers:
            if kind == "order" and not orders.get(what, {}).get("was_confirmed"):
                yield f"key {wish.key} was told of order {what}, which was never confirmed"
    for wish in diary.wishes:
        for order_id in wish.order_ids - orders.keys():
            yield f"key {wish.key} was told of order {order_id}, which does not exist"
