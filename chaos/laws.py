"""What holds of a quiet shop, whatever was done to it."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta

from chaos.books import Books, Money, Row
from chaos.tally import HAS_LEFT, Account, Units, accounts
from chaos.wishes import Diary
from workflows.payment import PAYMENT_WINDOW

NOTHING = Money()
LOOKED_UP = ("refused", "cancelled")
"""A refusal that the customer did not hear but saw on the order; why it was refused, another answer may say."""
A_DECISION = timedelta(minutes=1)
"""What it may take, once a customer's time is over, until the order is cancelled."""
A_TASK = "refund_due"
SPOILT_CAPTURE = "capture_refused"
"""Until the order is sent completely, a parcel whose capture was refused may leave its share to others."""


def violations(books: Books, diary: Diary) -> list[str]:
    """Every breach of every law, each in one sentence that names its rows; empty when nothing was lost."""
    told = (
        _every_wish_has_one_answer,
        _promises_are_kept,
        _whoever_came_back_was_served,
        _credit_is_what_was_handed_out,
    )
    return [*diary.bugs, *breaches(books), *(breach for law in told for breach in law(books, diary))]


def breaches(books: Books) -> list[str]:
    """What the books themselves, the engine and the provider's ledger show, whatever anybody was told."""
    found = accounts(books)
    of_orders = (
        _orders_follow_parcels,
        _payments_follow_parcels,
        _payments_follow_refunds,
        _credit_follows_orders,
        _units_are_refunded_at_their_worth,
        _units_are_somewhere_once,
        _people_are_called_while_they_are_needed,
    )
    of_books = (
        _everything_is_decided,
        _money_follows_payments,
        _money_has_an_order,
        _balances_are_their_entries,
        _stock_adds_up,
        _holds_follow_parcels,
        _returns_follow_refunds,
        _timelines_are_whole,
        _stories_follow_rows,
    )
    return [
        *(breach for account in found.values() for law in of_orders for breach in law(account)),
        *(breach for law in of_books for breach in law(books)),
    ]


def longest_undecided(books: Books, diary: Diary) -> float:
    """Seconds that any order was neither confirmed nor cancelled, apart from the time its customer took."""
    longest = 0.0
    for order in books.tables["orders"]:
        if order["decided_at"] is None:
            continue
        legs = [(order["asked_at"], order["challenged_at"] or order["decided_at"])]
        if order["challenged_at"]:
            until = order["challenged_at"] + (PAYMENT_WINDOW if order["id"] in diary.left_at_the_bank else timedelta(0))
            legs.append((diary.acted_at.get(order["id"], until), order["decided_at"]))
        longest = max(longest, *((until - since).total_seconds() for since, until in legs))
    return longest


# --- orders, one by one --------------------------------------------------------------------------------------------


def _orders_follow_parcels(account: Account) -> Iterator[str]:
    status = account.order["status"]
    if status == "cancelled":
        if any(parcel["status"] in ("pending", *HAS_LEFT) for parcel in account.parcels):
            yield f"{account.name}, but parcels are packed or on their way"
        return
    wanted = sum(units.wanted for units in account.units)
    arrived = sum(units.arrived for units in account.units)
    not_sent = sum(units.waiting + units.packed for units in account.units)
    if status in HAS_LEFT and not_sent:
        yield f"{account.name}, but {not_sent} units are still here"
    if (status == "delivered") is not (arrived == wanted):
        yield f"{account.name}, and {arrived} of {wanted} units arrived"
    if status == "confirmed" and not not_sent:
        yield f"{account.name}, but all its units have left"


def _payments_follow_parcels(account: Account) -> Iterator[str]:
    if account.is_paid_ahead:
        yield from _transfers_pay_ahead(account)
        return
    order = account.order
    captured = sum(parcel["charge"] or 0 for parcel in account.parcels if parcel["has_left"])
    if order["captured"] is None:
        yield f"{account.name}, but has no payment"
    elif order["status"] == "cancelled" and account.was_never_sent:
        if order["captured"] != order["refunded"]:
            yield f"{account.name}, but of {order['captured']} captured {order['refunded']} are refunded"
    elif order["captured"] != captured:
        yield f"{account.name}, its parcels took {captured}, but its payment says {order['captured']}"
    elif captured != account.to_capture and (account.is_all_sent or SPOILT_CAPTURE not in account.concerns):
        yield f"{account.name}, {account.to_capture} are to pay for what was sent, but {captured} were taken"


def _transfers_pay_ahead(account: Account) -> Iterator[str]:
    order = account.order
    if any(parcel["charge"] for parcel in account.parcels):
        yield f"{account.name} and was paid ahead, but a parcel took money"
    if order["status"] != "cancelled" and order["captured"] != (0 if order["payment"] == "pending" else account.due):
        yield f"{account.name}, but of {account.due} the transfer brought {order['captured']}"
    goes_back = order["refunded"] + order["refunding"] + order["credited"]
    if order["status"] == "cancelled" and order["captured"] != goes_back:
        yield f"{account.name}, but of {order['captured']} only {goes_back} go back"
    if bool(account.paid_back("requested")) is not (A_TASK in account.open_concerns):
        yield f"{account.name}, {account.paid_back('requested')} are to be sent back, but its people are told otherwise"


def _payments_follow_refunds(account: Account) -> Iterator[str]:
    order = account.order
    if order["status"] == "cancelled" and account.was_never_sent and not account.is_paid_ahead:
        return
    refunded, refunding = account.paid_back("succeeded"), account.paid_back("requested")
    credited = account.paid_back("succeeded", to="store_credit")
    if (order["refunded"], order["refunding"]) != (refunded, refunding):
        said = f"{order['refunded']} and {order['refunding']}"
        yield f"{account.name}, {refunded} are refunded and {refunding} being refunded, but its payment says {said}"
    if order["credited"] != credited:
        yield f"{account.name}, {credited} are store credit now, but its payment says {order['credited']}"
    if order["payment_status"] != order["payment"]:
        yield f"{account.name}, but its payment is {order['payment']}"
    if account.refunded("succeeded"):
        is_all = refunded + credited == order["captured"] and not account.credit_kept()
        expected = "refunded" if is_all else "partially_refunded"
        if order["payment"] != expected:
            back = f"{refunded + credited} of {order['captured']}"
            yield f"{account.name}, but with {back} refunded it should be {expected}"
    elif order["payment"] in ("refunded", "partially_refunded"):
        yield f"{account.name}, but nothing was refunded"


def _credit_follows_orders(account: Account) -> Iterator[str]:
    order = account.order
    succeeded = [refund for refund in account.refunds if refund["status"] == "succeeded"]
    for reason, expected in (
        ("spent", -order["credit"]),
        ("refunded", sum(refund["of_credit"] for refund in succeeded if refund["goes_to"] == "origin")),
        ("converted", sum(refund["amount"] for refund in succeeded if refund["goes_to"] == "store_credit")),
    ):
        if account.moved(reason) != expected:
            yield f"{account.name}, the credit it {reason} is {account.moved(reason)}, not {expected}"
    if account.unfairly_credited:
        yield f"{account.name}, and gave more than it took to {sorted(account.unfairly_credited)}"
    if order["status"] == "cancelled":
        kept = account.credit_kept(but_promised=True)
        if kept and not account.refunded("failed"):
            yield f"{account.name}, but {kept} of its credit have not gone back"
        return
    too_much = 0 if account.is_paid_ahead else max(order["credit"] - (order["total"] - account.cancelled_worth), 0)
    if account.moved("given_back") != too_much:
        yield f"{account.name}, {account.moved('given_back')} of its credit went back, not {too_much}"


def _units_are_refunded_at_their_worth(account: Account) -> Iterator[str]:
    paid, worth = account.paid_back_for_units
    if paid == worth or account.order["status"] == "cancelled":
        return
    paid_in_all = account.order["captured"] + account.order["credit"] - account.moved("given_back")
    is_all_gone = account.refunded("succeeded") + account.refunded("requested") == paid_in_all
    was_refused = any(refund["status"] == "failed" for refund in account.refunds)
    if paid > worth + account.refusals or not (is_all_gone or was_refused):
        yield f"{account.name}, units worth {worth} were refunded with {paid}"


def _units_are_somewhere_once(account: Account) -> Iterator[str]:
    for units in account.units:
        said = f"{account.name}, of line {units.line['id']}"
        if units.cancelled != units.line["given_up"]:
            yield f"{said} {units.cancelled} units are cancelled, but {units.line['given_up']} were asked for"
        if units.waiting < 0:
            yield f"{said} {units.ordered} units were ordered, but {units.ordered - units.waiting} packed or cancelled"
        if units.on_the_way + units.arrived + units.written_off > units.left + units.left_again:
            yield f"{said} more units have arrived, are on their way or are written off than have left"
        if units.refunded > units.left:
            yield f"{said} {units.left} units have left, but {units.refunded} were refunded"
        if units.being_returned > units.arrived:
            yield f"{said} {units.arrived} units arrived, but {units.being_returned} are coming back"


def _people_are_called_while_they_are_needed(account: Account) -> Iterator[str]:
    if account.order["needs_a_person"] is not bool(account.open_concerns):
        yield f"{account.name}, {sorted(account.open_concerns) or 'nothing'} is open, but its attention says otherwise"
    if account.order["status"] in (*HAS_LEFT, "cancelled") and SPOILT_CAPTURE in account.open_concerns:
        yield f"{account.name}, but somebody shall still decide about a refused capture"


# --- all books together ---------------------------------------------------------------------------------------------


def _everything_is_decided(books: Books) -> Iterator[str]:
    for order in books.tables["orders"]:
        if order["status"] == "pending" and not _waits_for_its_customer(order, books.read_at):
            yield f"order {order['id']} is still pending"
    for checkout in books.tables["checkouts"]:
        if not checkout["is_refused"] and not checkout["has_order"]:
            yield f"checkout {checkout['order_id']} was taken in and never placed"
    by_hand = {order["id"] for order in books.tables["orders"] if order["provider"] == "manual"}
    for refund in books.tables["refunds"]:
        if refund["status"] == "requested" and refund["order_id"] not in by_hand:
            yield f"refund {refund['id']} of order {refund['order_id']} is still requested"


def _waits_for_its_customer(order: Row, now: datetime) -> bool:
    if order["due_at"] is not None:
        return bool(now < order["due_at"] + A_DECISION)
    if order["payment"] != "requires_action" or order["challenged_at"] is None:
        return False
    return bool(now < order["challenged_at"] + PAYMENT_WINDOW + A_DECISION)


def _money_follows_payments(books: Books) -> Iterator[str]:
    for account in accounts(books).values():
        order = account.order
        money = books.money.get(order["id"], NOTHING)
        if account.is_paid_ahead:
            if money.times:
                yield f"{account.name} and was paid by transfer, but the ledger knows it"
            continue
        wishes = 1 + order.get("renewals", 0)  # what the bank let go of is authorised anew
        if money.times.get("authorize", 0) > wishes or money.authorize > wishes * account.due:
            yield f"{account.name}, the ledger has {money.times['authorize']} authorisations of {money.authorize}"
        kept = order["captured"] - order["refunded"]
        if money.kept != kept:
            yield f"{account.name}, the ledger keeps {money.kept} where the books keep {kept}"
        held = account.due - money.capture if order["status"] == "confirmed" else 0
        if money.held != held:
            yield f"{account.name}, the ledger holds {money.held} and took {money.capture} of {account.due}"
        if order["status"] == "cancelled" and money.kept and not account.refunded("failed"):
            yield f"{account.name}, the ledger keeps {money.kept}"


def _money_has_an_order(books: Books) -> Iterator[str]:
    known = {order["id"] for order in books.tables["orders"]}
    for owner, money in books.money.items():
        if owner not in known and (money.held or money.kept):
            yield f"the ledger holds {money.held} and keeps {money.kept} for {owner}, which is no order"


def _balances_are_their_entries(books: Books) -> Iterator[str]:
    moved: Counter[str] = Counter()
    issued: Counter[str] = Counter()
    for entry in books.tables["credit_entries"]:
        moved[entry["account_id"]] += entry["amount"]
        issued[entry["account_id"]] += entry["amount"] if entry["reason"] == "issued" else 0
    for account in books.tables["credit_accounts"]:
        said = f"{account['kind']} {account['id']}"
        if account["balance"] != moved[account["id"]] or account["balance"] < 0:
            yield f"{said} has a balance of {account['balance']}, but its entries come to {moved[account['id']]}"
        if issued[account["id"]] != (account["initial_amount"] or 0):
            yield f"{said} was issued with {account['initial_amount']}, but with {issued[account['id']]} by its entries"


def _stock_adds_up(books: Books) -> Iterator[str]:
    for stock in books.tables["stock"]:
        if stock["on_hand"] != stock["moved_on_hand"] or stock["reserved"] != stock["moved_reserved"]:
            yield f"stock of variant {stock['variant_id']} is not what its movements add up to"
        if stock["reserved"] != stock["held"]:
            yield f"variant {stock['variant_id']} has {stock['reserved']} reserved, but orders hold {stock['held']}"


def _holds_follow_parcels(books: Books) -> Iterator[str]:
    """What each order holds, has taken and has brought back, of each kind of goods."""
    orders: dict[str, Row] = {order["id"]: order for order in books.tables["orders"]}
    goods: dict[tuple[str, str], list[Units]] = defaultdict(list)
    for account in accounts(books).values():
        for units in account.units:
            goods[units.line["order_id"], units.line["variant_id"]].append(units)
    holds = {(hold["order_id"], hold["variant_id"]): hold for hold in books.tables["holds"]}
    moved = {(row["order_id"], row["variant_id"]): row for row in books.tables["movements"]}
    for place in goods.keys() | holds.keys() | moved.keys():
        order_id, variant_id = place
        order, lines = orders.get(order_id), goods.get(place, [])
        said = f"order {order_id} is {order['status'] if order else 'not there'}, of variant {variant_id} it"
        hold = holds.get(place, NO_HOLD)
        is_open = hold["quantity"] - hold["shipped"] - hold["released"]
        is_over = order is None or order["status"] == "cancelled"
        expected = 0 if is_over else sum(units.waiting + units.packed + units.packed_again for units in lines)
        if is_open != expected:
            yield f"{said} holds {is_open} units, not {expected}"
        left = sum(units.left + units.left_again for units in lines)
        if hold["shipped"] != left:
            yield f"{said} has taken {hold['shipped']} units, but {left} have left"
        if order is not None and order["status"] != "pending" and hold["expires"] and not is_over:
            yield f"{said} holds units that expire"
        movement = moved.get(place, NO_MOVEMENT)
        if (movement["reserved"], movement["shipped"]) != (is_open, left):
            yield f"{said} moved {movement['reserved']} reserved and {movement['shipped']} shipped units"
        least = sum(units.restocked for units in lines)
        most = least + sum(units.came_back for units in lines)
        if not least <= movement["returned"] <= most:
            yield f"{said} brought {movement['returned']} units back, not {least} to {most}"


NO_HOLD: Row = {"quantity": 0, "shipped": 0, "released": 0, "expires": False}
NO_MOVEMENT: Row = {"reserved": 0, "shipped": 0, "returned": 0}


def _returns_follow_refunds(books: Books) -> Iterator[str]:
    refunds = {refund["id"]: refund for refund in books.tables["refunds"]}
    by_hand = {order["id"] for order in books.tables["orders"] if order["provider"] == "manual"}
    received: dict[str, int] = defaultdict(int)
    for item in books.tables["return_items"]:
        received[item["return_id"]] += item["received"]
    for row in books.tables["returns"]:
        said = f"return {row['id']} of order {row['order_id']} is {row['status']}"
        refund = refunds[row["refund_id"]]["status"] if row["refund_id"] else None
        if row["status"] in ("received", "refunded") and not received[row["id"]]:
            yield f"{said}, but nothing came back"
        if row["status"] not in ("received", "refunded") and (received[row["id"]] or refund):
            yield f"{said}, but {received[row['id']]} units came back"
        if row["status"] == "refunded" and refund not in (None, "succeeded"):
            yield f"{said}, but its refund is {refund}"
        if row["status"] == "received" and refund != ("requested" if row["order_id"] in by_hand else "failed"):
            yield f"{said}, and its refund is {refund}"


def _timelines_are_whole(books: Books) -> Iterator[str]:
    for row in books.tables["gaps"]:
        yield f"the timeline of order {row['order_id']} has gaps"
    for row in books.tables["untold"]:
        yield f"order {row['order_id']} has changed since the newest entry of its timeline, so its version is too low"
    for row in books.tables["repetitions"]:
        yield f"the timeline of order {row['order_id']} says twice: {row['type']}"
    for row in books.tables["double_carts"]:
        yield f"cart {row['cart_id']} became more than one order"


def _stories_follow_rows(books: Books) -> Iterator[str]:
    unpaid = {order["id"] for order in books.tables["orders"] if order["payment"] == "pending"}
    for noun, table, over in (
        ("order", "orders", ("delivered", "cancelled")),
        ("refund", "refunds", ("succeeded", "failed")),
        ("return", "returns", ("refunded", "rejected")),
    ):
        for row in books.tables[table]:
            if row["status"] == "delivered" and row["id"] in unpaid:
                continue  # it waits for its money
            is_over = row["status"] in over
            if is_over is (f"{noun}:{row['id']}" in books.running):
                yield f"{noun} {row['id']} is {row['status']}, its workflow is {'running' if is_over else 'gone'}"
    for order in books.tables["orders"]:
        is_looked_after = order["status"] == "delivered" and not order["is_closed"] and order["id"] not in unpaid
        if is_looked_after is not (f"aftercare:{order['id']}" in books.running):
            yield f"order {order['id']} is {order['status']}, its aftercare {'is gone' if is_looked_after else 'runs'}"


# --- what customers and operators were told -------------------------------------------------------------------------


def _every_wish_has_one_answer(books: Books, diary: Diary) -> Iterator[str]:
    orders: dict[str, Row] = {order["id"]: order for order in books.tables["orders"]}
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
    known = orders.keys() | {checkout["order_id"] for checkout in books.tables["checkouts"]}
    for wish in diary.wishes:
        for order_id in wish.order_ids - known:  # one that was refused while its customer waited has no row
            yield f"key {wish.key} was told of order {order_id}, which does not exist"


def _whoever_came_back_was_served(books: Books, diary: Diary) -> Iterator[str]:
    for order in books.tables["orders"]:
        if order["status"] == "pending" and order["id"] not in diary.left_at_the_bank:
            yield f"order {order['id']} is still pending, and its customer does not let it wait"


def _credit_is_what_was_handed_out(books: Books, diary: Diary) -> Iterator[str]:
    cards = {row["id"]: row["initial_amount"] for row in books.tables["credit_accounts"] if row["kind"] == "gift_card"}
    for card in sorted(cards.keys() | diary.cards.keys()):
        if cards.get(card) != diary.cards.get(card):
            yield f"card {card} is worth {cards.get(card)}, but its issuer was told {diary.cards.get(card)}"
    given = sum(entry["amount"] for entry in books.tables["credit_entries"] if entry["reason"] == "adjusted")
    if given != diary.store_credit:
        yield f"{diary.store_credit} of store credit were given, but the books say {given}"


def _promises_are_kept(books: Books, diary: Diary) -> Iterator[str]:
    """Whatever was answered as done is in the books."""
    known = {(table, row["id"]): row for table in ("parcels", "refunds", "returns") for row in books.tables[table]}
    for promise in sorted(diary.promises):
        row = known.get((promise.table, promise.id))
        if row is None or promise.of not in facts_of(row):
            yield f"somebody was told that {promise.id} of {promise.table} is {promise.of}, but the books do not say so"


def facts_of(row: Row) -> set[str]:
    """What is true of a parcel, a refund or a return for ever once it was said."""
    facts = {"made", row["status"]}
    if row.get("has_left"):
        facts.add("shipped")
    if row["status"] in ("received", "refunded"):
        facts |= {"approved", "received"}
    if row["status"] == "rejected":
        facts.add("approved")  # what was approved may still be rejected
    if row.get("undelivered"):
        facts |= {row["undelivered"], "cancelled"}
    return facts
