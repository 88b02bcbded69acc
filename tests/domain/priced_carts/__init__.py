"""Priced carts: what each of them has to cost, and a calculation of its own that says so."""
