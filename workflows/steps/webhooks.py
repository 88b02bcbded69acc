"""What a story may ask of outgoing webhooks."""

from domain.webhooks import DeliverNow, HandedOut, HandOut, Lane, Probed, ProbeNow
from workflows.steps.patience import A_SHIFT
from workflows.steps.step import Step

hand_out = Step("webhooks.hand_out", HandOut, HandedOut, A_SHIFT)
"""Events are written down for the endpoints that want them, and stories begun that send them, while the shift lasts."""

deliver = Step("webhooks.deliver", DeliverNow, Lane, A_SHIFT)
"""The events of one order that wait for one endpoint are sent in their order, until one is not taken."""

probe = Step("webhooks.probe", ProbeNow, Probed, A_SHIFT)
"""A paused endpoint is tried with something that waits for it; when it takes that, it is paused no more."""
