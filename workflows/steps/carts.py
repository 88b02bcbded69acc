"""What a story may ask about carts."""

from domain.cart_reminders import CartStanding, LookAtCart
from domain.cart_tidying import CartsTidied, TidyCarts
from workflows.steps.patience import A_CHUNK, UNTIL_DONE
from workflows.steps.step import Step

remind = Step("carts.remind", LookAtCart, CartStanding, UNTIL_DONE)
"""A reminder is asked for when its time has come; else, or behind it, when to look again."""

tidy = Step("carts.tidy", TidyCarts, CartsTidied, A_CHUNK)
"""Carts to which nobody has come back are removed."""
