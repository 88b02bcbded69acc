"""Which passwords are too easy to guess, and what is said about them."""

import pytest

from runtime.strength import why_weak


@pytest.mark.parametrize(
    "password", ["password", "iloveyou", "qwertyuiop", "Password123!", "letmein12345", "p@ssw0rd", "drowssap"]
)
def test_a_stolen_password_is_named_as_one(password: str) -> None:
    assert why_weak(password) == (
        "This password is on the lists of stolen passwords that are tried first, or close to one that is."
    )


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("aaaaaaaaaaaa", 'Repeats like "aaa" are easy to guess.'),
        ("23.11.1985", "Dates are often easy to guess."),
    ],
)
def test_what_makes_a_password_easy_to_guess_is_said(password: str, why: str) -> None:
    assert why_weak(password) == f"This password is too easy to guess. {why} Add another word or two."


@pytest.mark.parametrize("password", ["correct horse battery", "  blanks around  ", "sutler-demo-1", "Tr0ub4dor&3xyz"])
def test_a_password_that_is_hard_to_guess_is_fine(password: str) -> None:
    assert why_weak(password) is None


def test_what_is_known_of_a_person_makes_no_password() -> None:
    assert why_weak("lovelace-1815") is None
    assert why_weak("lovelace-1815", ["lovelace", "ada@example.com"]) is not None
    assert why_weak("grace.hopper.90", ["grace", "grace.hopper.90@example.com"]) is not None


def test_the_answer_does_not_repeat_the_password() -> None:
    for password in ("aaaaaaaaaaaa", "monkey99"):
        assert password not in (why_weak(password) or "")


def test_a_password_of_any_length_is_looked_at_soon_enough_to_be_judged_while_somebody_waits() -> None:
    assert why_weak("4@8({[<3690l1|7+x%2$5" * 5) is None
