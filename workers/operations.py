"""The operations queue: whether everything adds up, looked at by the clock and whenever somebody asks, and tidying."""

from datetime import timedelta

from temporalio.client import ScheduleCalendarSpec, ScheduleRange, ScheduleSpec

from activities.audit import AuditActivities
from activities.carts import CartActivities
from domain.audit import LookAtBooks
from runtime.resources import Resources
from workers.duty import Duty, Scheduled
from workflows import names
from workflows.audit import Audit, Reconciliation, Repair
from workflows.cart_tidying import CartTidying

EVERY_HOUR = ScheduleSpec(calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(0, 23)], minute=[ScheduleRange(7)])])
HALF_AN_HOUR_LATER = ScheduleSpec(
    calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(0, 23)], minute=[ScheduleRange(37)])]
)
EVERY_NIGHT = ScheduleSpec(calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(3)], minute=[ScheduleRange(30)])])
AS_LONG_AS_PAYMENTS_CHANGE = 35
"""Days: cards are held for a week, and goods may come back for a month."""


def build(resources: Resources) -> Duty:
    settings = resources.settings
    audit = AuditActivities(
        resources.sessions,
        resources.temporal,
        resources.payments,
        transfer_term=settings.transfer_term,
        reminder_after=timedelta(hours=settings.auth.reminder_hours),
        verification_window=timedelta(hours=settings.auth.verification_hours),
    )
    return Duty(
        workflows=[Audit, Reconciliation, Repair, CartTidying],
        activities=[
            audit.look_at_tables,
            audit.look_at_stories,
            audit.look_at_money,
            audit.conclude,
            audit.repair,
            CartActivities(resources.sessions, settings.carts.reminders).tidy,
        ],
        scheduled=[
            Scheduled(
                id=names.AUDIT_ID,
                story=Audit,
                request=LookAtBooks(),
                when=EVERY_HOUR,
                catch_up=timedelta(minutes=10),
                why="do goods, money and workflows add up?",
            ),
            Scheduled(
                id=names.RECONCILIATION_ID,
                story=Reconciliation,
                request=LookAtBooks(days=AS_LONG_AS_PAYMENTS_CHANGE),
                when=EVERY_NIGHT,
                catch_up=timedelta(hours=6),
                why="the provider's payments beside ours",
            ),
            Scheduled(
                id=names.CART_TIDYING_ID,
                story=CartTidying,
                request=settings.carts.tidying,
                when=HALF_AN_HOUR_LATER,
                catch_up=timedelta(minutes=10),
                why="carts that nobody comes back to",
            ),
        ],
    )
