"""Codes of gift cards."""

import re

import pytest

from domain.credit import new_code, normalised


def test_codes_are_drawn_in_groups_of_letters_that_nobody_mixes_up() -> None:
    codes = {new_code() for _ in range(100)}

    assert len(codes) == 100
    assert all(re.fullmatch(r"([2-9A-HJ-NP-Z]{4}-){3}[2-9A-HJ-NP-Z]{4}", code) for code in codes)


@pytest.mark.parametrize("typed", ["K7QP-29XM-HHTR-5ZED", "k7qp29xmhhtr5zed", " K7QP 29XM\tHHTR 5ZED "])
def test_a_code_is_the_same_however_it_is_typed(typed: str) -> None:
    assert normalised(typed) == "K7QP29XMHHTR5ZED"
