"""What every kind of workflow has in the tables: rows that must have one running, and rows of which none may run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping

from domain.audit import Law, Repair
from workflows import names

Naming = Callable[[RowMapping], tuple[str, ...]]


def named(workflow_id: Callable[[UUID], str], *others: Callable[[UUID], str]) -> Naming:
    """By the id of the row that the workflow is about; any one of several will do."""
    return lambda row: tuple(naming(row["id"]) for naming in (workflow_id, *others))


@dataclass(frozen=True, kw_only=True)
class StoryLaw:
    """Rows that must have a running workflow."""

    query: str
    """Rows with ``id``, the ``order_id`` whose people are called, and what the sentence names."""
    sentence: str
    repair: Repair
    stories: Naming


STORY_LAWS: dict[Law, StoryLaw] = {
    Law.ORDERS_HAVE_A_STORY: StoryLaw(
        query="""
            SELECT orders.id, orders.id AS order_id, orders.number, orders.status FROM orders
            WHERE orders.status IN ('pending', 'confirmed', 'shipped')
              AND orders.updated_at <= now() - make_interval(secs => :patience)
        """,
        sentence="order S-{number} is {status}, and its workflow is gone",
        repair=Repair.RESUME_ORDER,
        stories=named(names.order_id),
    ),
    Law.REFUNDS_HAVE_A_STORY: StoryLaw(
        query="""
            SELECT refunds.id, refunds.order_id, orders.number, refunds.status
            FROM refunds JOIN orders ON orders.id = refunds.order_id
            WHERE refunds.status = 'requested' AND refunds.created_at <= now() - make_interval(secs => :patience)
        """,
        sentence="a refund of order S-{number} is {status}, and its workflow is gone",
        repair=Repair.BEGIN_REFUND,
        stories=named(names.refund_id),
    ),
    Law.RETURNS_HAVE_A_STORY: StoryLaw(
        query="""
            SELECT returns.id, returns.order_id, orders.number, returns.status
            FROM returns JOIN orders ON orders.id = returns.order_id LEFT JOIN refunds ON refunds.id = returns.refund_id
            WHERE returns.updated_at <= now() - make_interval(secs => :patience)
              AND (returns.status IN ('requested', 'approved')
                   OR (returns.status = 'received' AND coalesce(refunds.status, 'succeeded') <> 'requested'))
        """,
        sentence="a return of order S-{number} is {status}, and its workflow is gone",
        repair=Repair.RESUME_RETURN,
        stories=named(names.return_id),
    ),
    # Of no order's people: they have nothing to decide, and a shop that is older than Aftercare has many of these.
    Law.DELIVERED_ORDERS_ARE_CLOSED: StoryLaw(
        query="""
            SELECT orders.id, NULL::uuid AS order_id, orders.number FROM orders
            WHERE orders.status = 'delivered' AND orders.closed_at IS NULL
              AND orders.updated_at <= now() - make_interval(secs => :patience)
        """,
        sentence="order S-{number} is delivered, and nobody closes it",
        repair=Repair.BEGIN_AFTERCARE,
        # Goods may be there before their bank transfer is: then the order's own workflow still waits.
        stories=named(names.aftercare_id, names.order_id),
    ),
    Law.ACCOUNTS_HAVE_A_STORY: StoryLaw(
        query="""
            SELECT users.id, NULL::uuid AS order_id FROM users
            WHERE users.status = 'pending_verification'
              AND users.created_at <= now() - make_interval(secs => :patience)
        """,
        sentence="account {id} waits for its verification, and its workflow is gone",
        repair=Repair.RESUME_REGISTRATION,
        stories=named(names.registration_id),
    ),
    Law.ERASURES_HAVE_A_STORY: StoryLaw(
        query="""
            SELECT id, NULL::uuid AS order_id FROM erasures
            WHERE erased_at IS NULL AND asked_at <= now() - make_interval(secs => :patience)
        """,
        sentence="somebody wants to be forgotten ({id}), and the workflow is gone",
        repair=Repair.RESUME_ERASURE,
        stories=named(names.erasure_id),
    ),
    Law.IMPORTS_HAVE_A_STORY: StoryLaw(
        query="""
            SELECT id, NULL::uuid AS order_id, status, attempt FROM catalog_imports
            WHERE status IN ('waiting', 'running') AND moved_at <= now() - make_interval(secs => :patience)
        """,
        sentence="import {id} is {status}, and its workflow is gone",
        repair=Repair.RESUME_IMPORT,
        stories=lambda row: (names.catalog_import_id(row["id"], row["attempt"]),),
    ),
    Law.EXPORTS_HAVE_A_STORY: StoryLaw(
        query="""
            SELECT id, NULL::uuid AS order_id, status FROM catalog_exports
            WHERE status IN ('waiting', 'running')
              AND coalesce(started_at, created_at) <= now() - make_interval(secs => :patience)
        """,
        sentence="export {id} is {status}, and its workflow is gone",
        repair=Repair.BEGIN_EXPORT,
        stories=named(names.catalog_export_id),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Workflows of one type, each for a row of which something is still to be done."""

    noun: str
    prefix: str
    """Of their ids."""
    rows: str
    """All rows, with ``id``, ``order_id``, ``status``, whether one ``is_over``, and ``since`` when."""


KINDS: dict[str, Kind] = {
    "Registration": Kind(
        noun="account",
        prefix=names.REGISTRATION,
        rows="""
            SELECT id, NULL::uuid AS order_id, status, status <> 'pending_verification' AS is_over, updated_at AS since
            FROM users
        """,
    ),
    "Payment": Kind(
        noun="payment",
        prefix=names.PAYMENT,
        rows="""
            SELECT id, order_id, status, status NOT IN ('pending', 'requires_action') AS is_over, updated_at AS since
            FROM payments
        """,
    ),
    "Refund": Kind(
        noun="refund",
        prefix=names.REFUND,
        rows="SELECT id, order_id, status, status <> 'requested' AS is_over, settled_at AS since FROM refunds",
    ),
    "Return": Kind(
        noun="return",
        prefix=names.RETURN,
        rows="""
            SELECT id, order_id, status, status IN ('refunded', 'rejected') AS is_over, updated_at AS since FROM returns
        """,
    ),
    "Aftercare": Kind(
        noun="order",
        prefix=names.AFTERCARE,
        rows="""
            SELECT id, id AS order_id, 'closed' AS status, closed_at IS NOT NULL AS is_over, updated_at AS since
            FROM orders
        """,
    ),
    "Erasure": Kind(
        noun="erasure",
        prefix=names.ERASURE,
        rows="""
            SELECT id, NULL::uuid AS order_id, 'done' AS status, erased_at IS NOT NULL AS is_over, erased_at AS since
            FROM erasures
        """,
    ),
    "CatalogImport": Kind(
        noun="import",
        prefix=names.CATALOG_IMPORT,
        rows="""
            SELECT id, NULL::uuid AS order_id, status, status NOT IN ('waiting', 'running') AS is_over,
                   moved_at AS since
            FROM catalog_imports
        """,
    ),
    "CatalogExport": Kind(
        noun="export",
        prefix=names.CATALOG_EXPORT,
        rows="""
            SELECT id, NULL::uuid AS order_id, status, status NOT IN ('waiting', 'running') AS is_over,
                   ended_at AS since
            FROM catalog_exports
        """,
    ),
}
"""Besides the two chapters of an order, whose rows can be over in more ways than one."""

OF_ORDERS = ("Checkout", "Fulfillment")


def words_of(kind: Kind, row: Any) -> str:
    """What is wrong about a workflow that runs for such a row."""
    return f"a workflow runs for {kind.noun} {row.id}, which {f'is {row.status}' if row.is_known else 'there is not'}"
