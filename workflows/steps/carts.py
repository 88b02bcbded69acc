"""What a story may ask about carts."""

from domain.cart_tidying import CartsTidied, TidyCarts
from workflows.steps.patience import A_CHUNK
from workflows.steps.step import Step

tidy = Step("carts.tidy", TidyCarts, CartsTidied, A_CHUNK)
"""Carts to which nobody has come back are removed."""
