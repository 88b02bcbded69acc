"""The audit: what always holds of goods, money and workflows, what breaks it, and what heals it."""

from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from domain.attention import Concern
from domain.customers import RegisterCustomer
from domain.erasures import ErasePerson
from domain.exports import WriteExport
from domain.imports import ImportCatalog
from domain.orders import OrderAftercare, StartCheckout
from domain.payments import GiveMoneyBack, ReleasePayment
from domain.refunds import RefundMoney
from domain.returns import FollowReturn
from domain.shipping import FulfillOrder


class Law(StrEnum):
    """What holds of a shop at every moment. Repairs are carried out in this order."""

    # --- goods
    SHIPPED_GOODS_HAVE_LEFT = "shipped_goods_have_left"
    """What holds say was shipped is what parcels carried off, and what the stock ledger says has left."""
    STOCK_IS_ITS_MOVEMENTS = "stock_is_its_movements"
    ORDERS_HOLD_WHAT_THEY_WAIT_FOR = "orders_hold_what_they_wait_for"
    """Open orders hold the units that have not left, others hold nothing, and every hold has an order."""
    RESERVED_IS_HELD = "reserved_is_held"
    RETURNED_GOODS_CAME_BACK = "returned_goods_came_back"
    CONFIRMED_HOLDS_LAST = "confirmed_holds_last"
    HOLDS_END_IN_TIME = "holds_end_in_time"
    PARCELS_CARRY_WHAT_WAS_ORDERED = "parcels_carry_what_was_ordered"
    PROMOTIONS_ARE_USED_AS_COUNTED = "promotions_are_used_as_counted"
    """Uses of a promotion, of a code and of a customer are the orders that have it and were not cancelled."""
    # --- money, as our tables have it
    ORDERS_COST_WHAT_THEIR_LINES_SAY = "orders_cost_what_their_lines_say"
    """A total is the sum of its lines and shipping, with their taxes and without their discounts."""
    CAPTURED_IS_CHARGED = "captured_is_charged"
    REFUNDED_ADDS_UP = "refunded_adds_up"
    CANCELLED_ORDERS_KEEP_NOTHING = "cancelled_orders_keep_nothing"
    PAYMENTS_FIT_THEIR_ORDERS = "payments_fit_their_orders"
    CREDIT_IS_ITS_ENTRIES = "credit_is_its_entries"
    """What a gift card or a customer has is what moved it."""
    CREDIT_PAYS_WHAT_ORDERS_SAY = "credit_pays_what_orders_say"
    CANCELLED_ORDERS_KEEP_NO_CREDIT = "cancelled_orders_keep_no_credit"
    ORDERS_ARE_PAID_IN_FULL = "orders_are_paid_in_full"
    """What was taken and what credit has paid is what the customer had to pay."""
    STATUSES_AGREE = "statuses_agree"
    NOTHING_IS_HELD_IN_VAIN = "nothing_is_held_in_vain"
    # --- what was told
    TIMELINES_ARE_WHOLE = "timelines_are_whole"
    TIMELINES_TELL_THE_STATUS = "timelines_tell_the_status"
    # --- nothing is left lying
    CHECKOUTS_ARE_DECIDED = "checkouts_are_decided"
    LETTERS_ARE_CARRIED = "letters_are_carried"
    EVENTS_ARE_PUBLISHED = "events_are_published"
    WEBHOOKS_ARE_HANDLED = "webhooks_are_handled"
    ENDPOINTS_TAKE_WHAT_THEY_ARE_SENT = "endpoints_take_what_they_are_sent"
    """No webhook endpoint is paused."""
    # --- workflows
    ORDERS_HAVE_A_STORY = "orders_have_a_story"
    STORIES_HAVE_AN_ORDER = "stories_have_an_order"
    REFUNDS_HAVE_A_STORY = "refunds_have_a_story"
    RETURNS_HAVE_A_STORY = "returns_have_a_story"
    DELIVERED_ORDERS_ARE_CLOSED = "delivered_orders_are_closed"
    """Or their Aftercare waits until they can be."""
    ACCOUNTS_HAVE_A_STORY = "accounts_have_a_story"
    """Those that wait for their verification."""
    ERASURES_HAVE_A_STORY = "erasures_have_a_story"
    """People who want to be forgotten are, or are waited for."""
    IMPORTS_HAVE_A_STORY = "imports_have_a_story"
    EXPORTS_HAVE_A_STORY = "exports_have_a_story"
    STORIES_HAVE_A_ROW = "stories_have_a_row"
    """Whatever else a workflow runs for is there, and not over."""
    # --- money, as the provider has it
    MONEY_HAS_AN_ORDER = "money_has_an_order"
    MONEY_IS_TAKEN_ONCE = "money_is_taken_once"
    MONEY_OF_CANCELLED_ORDERS_IS_BACK = "money_of_cancelled_orders_is_back"
    MONEY_IS_WHERE_WE_BELIEVE = "money_is_where_we_believe"
    AMOUNTS_AGREE = "amounts_agree"


LAWS_OF_STORIES = frozenset(
    {
        Law.ORDERS_HAVE_A_STORY,
        Law.STORIES_HAVE_AN_ORDER,
        Law.REFUNDS_HAVE_A_STORY,
        Law.RETURNS_HAVE_A_STORY,
        Law.DELIVERED_ORDERS_ARE_CLOSED,
        Law.ACCOUNTS_HAVE_A_STORY,
        Law.ERASURES_HAVE_A_STORY,
        Law.IMPORTS_HAVE_A_STORY,
        Law.EXPORTS_HAVE_A_STORY,
        Law.STORIES_HAVE_A_ROW,
    }
)
LAWS_OF_MONEY = frozenset(
    {
        Law.MONEY_HAS_AN_ORDER,
        Law.MONEY_IS_TAKEN_ONCE,
        Law.MONEY_OF_CANCELLED_ORDERS_IS_BACK,
        Law.MONEY_IS_WHERE_WE_BELIEVE,
        Law.AMOUNTS_AGREE,
    }
)
LAWS_OF_TABLES = frozenset(Law) - LAWS_OF_STORIES - LAWS_OF_MONEY


class Repair(StrEnum):
    """What can be done about a breach without a person who decides. All can be repeated."""

    WRITE_MISSING_MOVEMENT = "write_missing_movement"
    SETTLE_RESERVATIONS = "settle_reservations"
    HOLD_WHAT_IS_WAITED_FOR = "hold_what_is_waited_for"
    KEEP_HOLDS = "keep_holds"
    RECOUNT_USES = "recount_uses"
    RECOUNT_REFUNDS = "recount_refunds"
    REFUND_THE_REST = "refund_the_rest"
    RECOUNT_CREDIT = "recount_credit"
    GIVE_CREDIT_BACK = "give_credit_back"
    COPY_PAYMENT_STATUS = "copy_payment_status"
    FREE_THE_REST = "free_the_rest"
    MARK_THE_GAP = "mark_the_gap"
    CLOSE_CHECKOUT = "close_checkout"
    CARRY_LETTERS = "carry_letters"
    HANDLE_WEBHOOK = "handle_webhook"
    RESUME_ORDER = "resume_order"
    END_STORY = "end_story"
    BEGIN_REFUND = "begin_refund"
    RESUME_RETURN = "resume_return"
    BEGIN_AFTERCARE = "begin_aftercare"
    RESUME_REGISTRATION = "resume_registration"
    RESUME_ERASURE = "resume_erasure"
    RESUME_IMPORT = "resume_import"
    BEGIN_EXPORT = "begin_export"
    GIVE_STRAY_MONEY_BACK = "give_stray_money_back"


REPAIRS_IN_WORDS: dict[Repair, str] = {
    Repair.WRITE_MISSING_MOVEMENT: "write the movement that is missing",
    Repair.SETTLE_RESERVATIONS: "reserve what orders hold, no more and no less",
    Repair.HOLD_WHAT_IS_WAITED_FOR: "hold what the order waits for, and give the rest back",
    Repair.KEEP_HOLDS: "let the paid order keep its goods without a deadline",
    Repair.RECOUNT_USES: "count the promotion's uses anew",
    Repair.RECOUNT_REFUNDS: "count the order's refunds anew",
    Repair.REFUND_THE_REST: "refund what is left of the cancelled order's money",
    Repair.RECOUNT_CREDIT: "let the balance be what its entries add up to",
    Repair.GIVE_CREDIT_BACK: "give the cancelled order's credit back to where it came from",
    Repair.COPY_PAYMENT_STATUS: "show the payment's status on the order",
    Repair.FREE_THE_REST: "free what the card still holds",
    Repair.MARK_THE_GAP: "note in the timeline that an entry was lost",
    Repair.CLOSE_CHECKOUT: "close the checkout and open its cart",
    Repair.CARRY_LETTERS: "let somebody carry the letters",
    Repair.HANDLE_WEBHOOK: "tell the payment's workflow, and note that the webhook is handled",
    Repair.RESUME_ORDER: "begin the order's workflow again where the order stands",
    Repair.END_STORY: "end the workflow that has nothing left to do",
    Repair.BEGIN_REFUND: "begin the refund's workflow again",
    Repair.RESUME_RETURN: "begin the return's workflow again where the return stands",
    Repair.BEGIN_AFTERCARE: "begin the workflow that closes the delivered order",
    Repair.RESUME_REGISTRATION: "begin the registration's workflow again, with what is left of its time",
    Repair.RESUME_ERASURE: "begin the workflow again that forgets the person",
    Repair.RESUME_IMPORT: "begin the import's workflow again with the first chunk that is not done",
    Repair.BEGIN_EXPORT: "begin the export's workflow again",
    Repair.GIVE_STRAY_MONEY_BACK: "void or refund the stray payment",
}


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A law that does not hold of something."""

    law: Law
    subject: str
    """The id of the row, the workflow or the provider's payment that is wrong."""
    words: str
    order_id: UUID | None = None
    repair: Repair | None = None
    """``None`` when a person has to decide."""

    @property
    def key(self) -> tuple[Law, str]:
        return self.law, self.subject

    @property
    def concern(self) -> Concern:
        return Concern.PAYMENT_MISMATCH if self.law in LAWS_OF_MONEY else Concern.BOOKS_BROKEN


@dataclass(frozen=True, kw_only=True)
class LookAtBooks:
    """How closely an audit looks."""

    patience_seconds: float = 60.0
    """What has changed since is in somebody's hands, and not judged yet."""
    pause_seconds: float = 10.0
    """What is wrong at the first look must still be wrong after this time."""
    days: int = 2
    """How far back the provider's payments are compared with ours."""


@dataclass(frozen=True, kw_only=True)
class Suspicions:
    breaches: list[Breach] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Conclude:
    """Look again at what seemed wrong, and write down what is."""

    laws: list[Law]
    """Whose open breaches are looked at too, so that healed ones are noticed."""
    suspicions: list[Breach]


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """What is wrong at the end of an audit; nothing, in a healthy shop."""

    breaches: list[Breach] = field(default_factory=list)
    healed: int = 0
    """Breaches of earlier audits that are gone."""


@dataclass(frozen=True, kw_only=True)
class RepairBreach:
    breach: Breach
    actor: str
    note_id: UUID
    """The audit log's entry for this wish; repeated, it is written once."""


@dataclass(frozen=True, kw_only=True)
class Prescription:
    """What is left to do once the tables are repaired: stories to begin, and what to ask of the provider."""

    problem: str | None = None
    """Why nothing can be done without a person."""
    customer: str = "guest"
    """Whose order it is, for operators who search."""
    checkout: StartCheckout | None = None
    fulfillment: FulfillOrder | None = None
    refund: RefundMoney | None = None
    follow_return: FollowReturn | None = None
    aftercare: OrderAftercare | None = None
    registration: RegisterCustomer | None = None
    erasure: ErasePerson | None = None
    catalog_import: ImportCatalog | None = None
    catalog_export: WriteExport | None = None
    give_back: GiveMoneyBack | None = None
    release: ReleasePayment | None = None
    carry_letters: bool = False


@dataclass(frozen=True, kw_only=True)
class RepairOutcome:
    is_healed: bool
    problem: str | None = None
    """Why not, as far as it is known."""
