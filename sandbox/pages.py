"""The few pages a person sees."""

from html import escape

from sandbox.objects import PaymentIntent
from sandbox.wire import HTML, Answer

FRAME = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem}}
form{{display:inline}}button{{font:inherit;padding:.5rem 1.25rem;margin-right:.75rem}}code{{background:#eee}}</style>
</head><body><h1>{title}</h1>{content}</body></html>"""

INDEX = """<p>This process stands in for the outside world in development and tests. No money moves here.</p>
<ul>
<li><code>/v1/payment_intents</code>, <code>/v1/charges</code>, <code>/v1/refunds</code>, <code>/v1/disputes</code>,
<code>/v1/events</code>, <code>/v1/tax/calculations</code>:
Stripe's API; test payment methods such as <code>pm_card_visa</code></li>
<li><code>GET /parcels/{number}</code>: who follows a parcel; <code>PUT</code> with
<code>{"status": "in_transit"}</code> moves it, and its followers are told</li>
<li><a href="/ledger"><code>GET /ledger</code></a> <code>?payment_intent=&amp;after=&amp;limit=</code> and
<a href="/ledger/totals"><code>GET /ledger/totals</code></a>: every movement of money, in minor units</li>
<li><a href="/mail"><code>GET /mail</code></a> <code>?to=&amp;after=&amp;limit=</code>, <code>DELETE /mail</code>:
what came in over SMTP</li>
<li><code>GET /range/…</code>: stolen passwords whose SHA-1 begins so, as Have I Been Pwned answers</li>
<li><a href="/faults"><code>GET</code></a>, <code>PUT</code>, <code>DELETE /faults</code>: misbehaviour on request,
and <a href="/faults/inflicted"><code>GET /faults/inflicted</code></a>: how often it happened</li>
<li><a href="/health"><code>GET /health</code></a>, <code>DELETE /state</code></li>
</ul>"""

CHALLENGE = """<p>A payment of <b>{amount} {currency}</b> (minor units) asks for your confirmation.</p>
<form method="post" action="/3ds/{id}/complete"><button>Complete</button></form>
<form method="post" action="/3ds/{id}/fail"><button>Fail</button></form>"""


def page(title: str, content: str, status: int = 200) -> Answer:
    return Answer(status, FRAME.format(title=escape(title), content=content).encode(), HTML)


def index() -> Answer:
    return page("Sutler sandbox", INDEX)


def challenge(intent: PaymentIntent) -> Answer:
    """The page of the payer's bank."""
    if intent.status != "requires_action":
        return page("Your bank", f"<p>There is nothing to confirm: this payment is {escape(intent.status)}.</p>")
    values = {"amount": str(intent.amount), "currency": intent.currency.upper(), "id": intent.id}
    return page("Your bank", CHALLENGE.format(**{name: escape(value) for name, value in values.items()}))


def challenge_over(intent: PaymentIntent) -> Answer:
    return page("Your bank", f"<p>Done: this payment is {escape(intent.status)}. You can close this page.</p>")
