"""In which language somebody is answered."""

import pytest

from domain.languages import Languages, _negotiated

SHOP = Languages("en", ("de", "de-AT", "fr", "pt-BR", "zh-Hant"))


@pytest.mark.parametrize(
    ("wish", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE", "de"),
        ("de-AT", "de-AT"),
        ("de-CH", "de"),
        ("de-CH, fr;q=0.9", "de"),
        ("it, fr;q=0.9", "fr"),
        ("fr;q=0.3, de;q=0.7", "de"),
        ("fr;q=0, de;q=0.1", "de"),
        ("it", "en"),
        ("pt", "en"),
        ("pt-br", "pt-BR"),
        ("zh-Hant-TW", "zh-Hant"),
        ("*", "en"),
        ("it, *;q=0.5, fr;q=0.1", "en"),
        ("en, de;q=0.9", "en"),
        ("de;q=nan, fr", "fr"),
        ("de;q=1e9, fr", "de"),
        ("de;level=1, fr;q=0.5", "fr"),
        (",;,=;q=", "en"),
        ("-", "en"),
        ("de," * 100, "en"),
    ],
)
def test_the_best_of_the_shops_languages_is_taken(wish: str, language: str) -> None:
    assert SHOP.negotiated(wish) == language


@pytest.mark.parametrize(
    ("language", "chain"), [("en", ()), ("de", ("de",)), ("de-AT", ("de-AT", "de")), ("pt-BR", ("pt-BR",))]
)
def test_a_text_is_looked_for_from_the_narrow_to_the_wide(language: str, chain: tuple[str, ...]) -> None:
    assert SHOP.chain(language) == chain


def test_forged_wishes_are_remembered_up_to_a_limit() -> None:
    for number in range(3000):
        assert SHOP.negotiated(f"x-{number}") == "en"

    assert _negotiated.cache_info().currsize <= 1024


def test_a_shop_of_one_language_looks_at_no_wish() -> None:
    before = _negotiated.cache_info()

    assert Languages("en").negotiated("de, fr;q=0.5") == "en"

    assert _negotiated.cache_info() == before
