"""What it takes to get an account."""

import pytest

from domain.customers import acceptable_password, acceptable_username


@pytest.mark.parametrize("username", ["ada", "Ada.Lovelace_1-2", "a" * 50])
def test_a_username_has_3_to_50_letters_digits_and_marks(username: str) -> None:
    assert acceptable_username(username) == username


def test_blanks_around_a_username_are_dropped() -> None:
    assert acceptable_username("  ada ") == "ada"


@pytest.mark.parametrize("username", ["", "ab", "  ab  ", "a" * 51])
def test_a_username_of_another_length_is_refused(username: str) -> None:
    with pytest.raises(ValueError, match="3 to 50 characters"):
        acceptable_username(username)


@pytest.mark.parametrize("username", ["ada lovelace", "ada@home", "adä", "ada\n1", "ada/..", "<ada>"])
def test_a_username_of_other_characters_is_refused(username: str) -> None:
    with pytest.raises(ValueError, match="letters, digits"):
        acceptable_username(username)


@pytest.mark.parametrize("password", ["eight ch", "p" * 100, "  blanks  ", "pässwörter"])
def test_a_password_has_8_to_100_characters_of_any_kind(password: str) -> None:
    assert acceptable_password(password) == password


@pytest.mark.parametrize("password", ["", "seven c", "p" * 101])
def test_a_password_of_another_length_is_refused_without_repeating_it(password: str) -> None:
    with pytest.raises(ValueError, match="8 to 100 characters") as refused:
        acceptable_password(password)
    assert not password or password not in str(refused.value)


def test_a_password_has_no_nul_character() -> None:
    with pytest.raises(ValueError, match="NUL"):
        acceptable_password("eight\0chars")
