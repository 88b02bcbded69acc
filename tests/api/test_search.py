"""Finding products by words over HTTP, against the real server."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from runtime.resources import Resources
from tests.api.catalog_calls import a_new_category, all_pages, names, reserve_all, usd
from tests.support.catalog import VariantWanted, a_category, a_product, unique

LETTERS = str.maketrans("0123456789", "ghijklmnop")


def a_word() -> str:
    """A word of ten letters that no other test uses, nor one like it."""
    return uuid4().hex[:10].translate(LETTERS)


async def found(api: httpx.AsyncClient, q: str, **params: Any) -> list[str]:
    return names(await api.get("/v1/products", params={"q": q, **params}))


class TestWords:
    async def test_on_both_sides_of_a_slash_or_a_hyphen_are_words(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        one, two, three, four = (a_word() for _ in range(4))
        product = await a_product(resources.sessions, name=f"{one}/{two} {three}-{four}")

        for word in (one, two, three, four, f"{one}/{two}", f"{four} {one}", f"{three}-{four}"):
            assert await found(api, word) == [product.name]

    async def test_are_found_with_and_without_their_accents_and_capitals(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        word = a_word()
        product = await a_product(resources.sessions, name=f"Crème Brûlée {word}", brand="Müller & Söhne")

        for q in ("creme brulee", "CRÈME BRÛLÉE", "crème brulee muller", "brûl söhne"):
            assert await found(api, f"{q} {word}") == [product.name]

    @pytest.mark.parametrize(
        "word", ["7e12ab", "1e5", "v1.2-rc3", "naïve_name", "हिन्दी", "Ελλάδα", "100%", "a@b.example"]
    )
    async def test_of_any_form_find_what_bears_them(
        self, api: httpx.AsyncClient, resources: Resources, word: str
    ) -> None:
        other = a_word()
        product = await a_product(resources.sessions, name=f"{word} {other}")

        assert await found(api, f"{word} {other}") == [product.name]

    async def test_that_are_endless_hinder_no_product(self, api: httpx.AsyncClient, resources: Resources) -> None:
        word = a_word()
        product = await a_product(resources.sessions, name=word, description="x" * 40_000)

        assert await found(api, word) == [product.name]

    @pytest.mark.parametrize("part", ["sku", "option", "category", "category above"])
    async def test_of_its_sku_its_options_and_its_categories_find_a_product(
        self, api: httpx.AsyncClient, resources: Resources, part: str
    ) -> None:
        words = {name: a_word() for name in ("sku", "option", "category", "category above")}
        above = await a_category(resources.sessions, name=words["category above"])
        category_id = await a_category(resources.sessions, name=words["category"], parent_id=above)
        variant = VariantWanted(sku=f"{words['sku']}-17", options={"colour": words["option"]})
        product = await a_product(resources.sessions, category_id=category_id, variants=[variant])

        assert await found(api, words[part]) == [product.name]

    async def test_follow_a_category_that_is_renamed_or_moved(
        self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]
    ) -> None:
        old, new, elsewhere = a_word(), a_word(), a_word()
        top = await a_new_category(api, admin, name=elsewhere)
        category = await a_new_category(api, admin, name=old)
        below = await a_new_category(api, admin, name="below", parent_id=category["id"])
        product = await a_product(resources.sessions, category_id=below["id"])
        assert await found(api, old) == [product.name]

        address = f"/v1/categories/{category['id']}"
        changed = await api.patch(address, json={"name": new, "parent_id": top["id"]}, headers=admin)

        assert changed.status_code == 200
        assert await found(api, old) == []
        assert await found(api, new) == await found(api, elsewhere) == [product.name]


class TestRanking:
    async def test_puts_names_before_beginnings_of_names_before_everything_else(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        word = a_word()
        described = await a_product(resources.sessions, name="Kettle", description=f"Goes well with {word}")
        begun = await a_product(resources.sessions, name=f"{word}ish kettle")
        long = await a_product(resources.sessions, name=f"Kettle made for {word}")
        branded = await a_product(resources.sessions, name="Kettle", brand=word)
        short = await a_product(resources.sessions, name=f"Kettle {word}")
        shorter = await a_product(resources.sessions, name=word)

        expected = [branded, shorter, short, long, begun, described]
        shown = [item["id"] for item in await all_pages(api, q=word, limit=2)]
        assert shown[0] in {str(branded.product_id), str(shorter.product_id)}
        assert shown[2:] == [str(product.product_id) for product in expected[2:]]
        assert shown[:2] == [str(shorter.product_id), str(branded.product_id)]  # as short, and newer

    @pytest.mark.parametrize("sort", ["relevance", "newest", "name", "price", "-price"])
    async def test_keeps_its_place_while_products_are_added(
        self, api: httpx.AsyncClient, resources: Resources, sort: str
    ) -> None:
        word = a_word()
        names_made = [f"{word} a", f"{word}s b", f"{word} c d", "e", f"{word}s f g", f"{word} h"]
        for number, name in enumerate(names_made):
            await a_product(
                resources.sessions, name=name, description=word, price=f"{5 + number % 3}.00", brand=f"brand {number}"
            )
        params: dict[str, Any] = {"q": word, "sort": sort}
        whole = await all_pages(api, **params, limit=100)

        first = (await api.get("/v1/products", params={**params, "limit": 2})).json()
        for name in names_made:
            await a_product(resources.sessions, name=name, description=word, price="1.00")
            await a_product(resources.sessions, name=name, description=word, price="9.00")
        rest = await all_pages(api, **params, limit=2, cursor=first["next_cursor"])

        seen = [item["id"] for item in first["items"] + rest]
        old = [item["id"] for item in whole]
        assert len(whole) == len(names_made)
        assert [product for product in seen if product in old] == old
        assert len(seen) == len(set(seen))


class TestTypingErrors:
    async def test_are_corrected_to_the_most_similar_words_and_told(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        word = f"qu{a_word()}"
        product = await a_product(resources.sessions, name=f"{word} kettle")
        wrong = {
            "a letter is missing": word[:4] + word[5:],
            "a letter is doubled": word[:4] + word[3:],
            "two changed places": word[:4] + word[5] + word[4] + word[6:],
            "one is another": f"{word[:5]}y{word[6:]}",
        }

        for typed in wrong.values():
            page = await api.get("/v1/products", params={"q": f"{typed} kettle"})

            assert names(page) == [product.name], typed
            assert page.json()["corrected"] == {typed: [word]}
        assert "corrected" not in (await api.get("/v1/products", params={"q": word})).json()

    async def test_of_two_neighbours_in_a_short_word_are_corrected(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        other = a_word()
        product = await a_product(resources.sessions, name=f"qzvx {other}")

        assert await found(api, f"qvzx {other}") == [product.name]

    async def test_are_not_seen_in_words_that_the_shop_has_nor_in_numbers(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        word, other = a_word(), a_word()
        await a_product(resources.sessions, name=f"{word} 4711{other}")
        right = await a_product(resources.sessions, name=f"{word}y {other}")

        assert await found(api, f"{word}y {other}") == [right.name]
        assert await found(api, f"{word} 4712{other}") == []


class TestConditions:
    async def test_on_the_price_look_at_each_variant(self, api: httpx.AsyncClient, resources: Resources) -> None:
        word = a_word()
        sizes = [VariantWanted(price="1.00"), VariantWanted(price="9.00")]
        product = await a_product(resources.sessions, name=word, variants=sizes)

        for span, is_inside in (
            ({"min_price": "1.00", "max_price": "1.00"}, True),
            ({"min_price": "1.01", "max_price": "8.99"}, False),
            ({"min_price": "8.99", "max_price": "9.00"}, True),
            ({"min_price": "9.01"}, False),
            ({"min_price": "9.00"}, True),
            ({"max_price": "0.99"}, False),
            ({"max_price": "1.00"}, True),
        ):
            assert await found(api, word, **span) == ([product.name] if is_inside else []), span

        sizes = [*sizes, VariantWanted(price="5.00")]
        other = await a_product(resources.sessions, name=f"other {word}", variants=sizes)
        assert await found(api, word, min_price="1.01", max_price="8.99") == [other.name]

    @pytest.mark.parametrize("by", ["words", "brand"])
    async def test_on_the_price_choose_the_variant_that_a_product_is_sorted_by(
        self, api: httpx.AsyncClient, resources: Resources, by: str
    ) -> None:
        word = a_word()
        for prices in (("1.00", "15.00"), ("10.00",), ("30.00", "12.00", "8.00"), ("8.99",)):
            variants = [VariantWanted(price=price) for price in prices]
            await a_product(resources.sessions, name=f"{word} {'/'.join(prices)}", brand=word, variants=variants)
        wish = {"q": word} if by == "words" else {"brand": word}

        async def sorted_by(sort: str, **span: str) -> list[str]:
            pages = await all_pages(api, sort=sort, limit=1, **wish, **span)
            return [item["name"].partition(" ")[2] for item in pages]

        middle = {"min_price": "9.00", "max_price": "20.00"}
        in_order = ["10.00", "30.00/12.00/8.00", "1.00/15.00"]
        assert await sorted_by("price", **middle) == in_order
        assert await sorted_by("-price", **middle) == in_order[::-1]
        assert await sorted_by("price", min_price="11.00") == ["30.00/12.00/8.00", "1.00/15.00"]
        assert await sorted_by("price", max_price="9.00") == ["1.00/15.00", "30.00/12.00/8.00", "8.99"]
        assert await sorted_by("price") == ["1.00/15.00", "30.00/12.00/8.00", "8.99", "10.00"]

    @pytest.mark.parametrize("sort", ["relevance", "newest", "name", "price", "-price"])
    async def test_on_stock_leave_the_order_as_it_is(
        self, api: httpx.AsyncClient, resources: Resources, sort: str
    ) -> None:
        word = a_word()
        for number, price in enumerate(("3.00", "1.00", "2.00", "1.00", "4.00")):
            product = await a_product(resources.sessions, name=f"{word} {number}", price=price, stock=1)
            if number in (1, 4):
                await reserve_all(resources, product.variant_id)

        whole = [item["name"] for item in await all_pages(api, q=word, sort=sort)]
        sellable = await all_pages(api, q=word, sort=sort, in_stock="true", limit=1)
        sold_out = await all_pages(api, q=word, sort=sort, in_stock="false", limit=1)

        assert [item["name"] for item in sellable] == [name for name in whole if name[-1] in "023"]
        assert [item["name"] for item in sold_out] == [name for name in whole if name[-1] in "14"]


class TestFacets:
    async def test_count_what_each_price_range_would_find(self, api: httpx.AsyncClient, resources: Resources) -> None:
        word = a_word()
        for price in ("0.00", "1.99", "2.00", "4.99", "10.00", "500000.00"):
            await a_product(resources.sessions, name=f"{word} {price}", price=price)
        sizes = [VariantWanted(price="3.00"), VariantWanted(price="4.00"), VariantWanted(price="11.00")]
        await a_product(resources.sessions, name=word, variants=sizes)

        page = await api.get("/v1/products", params={"q": word, "facets": "price"})

        ranges = page.json()["facets"]["price"]
        assert ranges == [
            {"min_price": usd("0.00"), "max_price": usd("0.99"), "count": 1},
            {"min_price": usd("1.00"), "max_price": usd("1.99"), "count": 1},
            {"min_price": usd("2.00"), "max_price": usd("4.99"), "count": 3},
            {"min_price": usd("10.00"), "max_price": usd("19.99"), "count": 2},
            {"min_price": usd("500000.00"), "max_price": None, "count": 1},
        ]
        for span in ranges:
            edges = {name: span[name]["amount"] for name in ("min_price", "max_price") if span[name]}
            assert len(await found(api, word, **edges)) == span["count"]

    async def test_leave_out_their_own_choice_and_keep_the_others(
        self, api: httpx.AsyncClient, resources: Resources
    ) -> None:
        word, acme, zeta = a_word(), unique("Acme"), unique("Zeta")
        category_id = await a_category(resources.sessions)
        for brand, price in ((acme, "1.00"), (acme, "5.00"), (zeta, "5.00")):
            await a_product(resources.sessions, name=unique(word), brand=brand, price=price, category_id=category_id)
        sold_out = await a_product(resources.sessions, name=word, brand=zeta, price="5.00", stock=1)
        await reserve_all(resources, sold_out.variant_id)

        chosen = {"q": word, "in_stock": "true", "brand": acme, "min_price": "5", "facets": "brand,category,price"}
        page = (await api.get("/v1/products", params=chosen)).json()

        assert len(page["items"]) == 1
        assert page["facets"]["brand"] == [{"value": acme, "count": 1}, {"value": zeta, "count": 1}]
        assert [(span["min_price"], span["count"]) for span in page["facets"]["price"]] == [
            (usd("1.00"), 1),
            (usd("5.00"), 1),
        ]
        assert [(row["id"], row["count"]) for row in page["facets"]["category"]] == [(str(category_id), 1)]


class TestSuggestions:
    async def suggested(self, api: httpx.AsyncClient, q: str, **params: Any) -> list[tuple[str, str]]:
        answer = await api.get("/v1/search/suggestions", params={"q": q, **params})
        assert answer.status_code == 200, answer.text
        return [(item["kind"], item["text"]) for item in answer.json()["items"]]

    async def test_complete_words_brands_and_names(self, api: httpx.AsyncClient, resources: Resources) -> None:
        begun = a_word()
        often, seldom, brand = f"{begun}often", f"{begun}seldom", f"{begun} & Sons"
        short = await a_product(resources.sessions, name=f"{often} kettle")
        long = await a_product(resources.sessions, name=f"{often} kettle, large", brand=brand)
        other = await a_product(resources.sessions, name=f"One {seldom} kettle", description=f"no {begun}described")

        assert await self.suggested(api, begun[:8], limit=20) == [
            ("word", often),
            ("word", begun),
            ("word", seldom),
            ("brand", brand),
            ("product", short.name),
            ("product", other.name),
            ("product", long.name),
        ]
        assert await self.suggested(api, f"kettle {begun}s") == [
            ("word", f"kettle {seldom}"),
            ("product", other.name),
        ]

    async def test_forgive_typing_errors(self, api: httpx.AsyncClient, resources: Resources) -> None:
        word = f"qu{a_word()}"
        product = await a_product(resources.sessions, name=word)

        typed = word[:4] + word[5] + word[4] + word[6:]

        assert await self.suggested(api, typed) == [("word", word), ("product", product.name)]

    async def test_follow_the_shop(self, api: httpx.AsyncClient, resources: Resources, admin: dict[str, str]) -> None:
        word = a_word()
        product = await a_product(resources.sessions, name=word)
        assert await self.suggested(api, word) == [("word", word), ("product", word)]
        assert await self.suggested(api, word) == [("word", word), ("product", word)]

        gone = await api.delete(f"/v1/products/{product.product_id}", headers=admin)

        assert gone.status_code == 204
        assert await self.suggested(api, word) == []

    async def test_of_nothing_are_nothing(self, api: httpx.AsyncClient) -> None:
        for q in ("", "   ", "!?/", a_word()):
            assert await self.suggested(api, q) == []

    @pytest.mark.parametrize(
        ("params", "pointer"), [({}, "/q"), ({"q": "a", "limit": 3}, "/limit"), ({"q": "a" * 201}, "/q")]
    )
    async def test_say_which_parameter_is_wrong(
        self, api: httpx.AsyncClient, params: dict[str, Any], pointer: str
    ) -> None:
        answer = await api.get("/v1/search/suggestions", params=params)

        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        assert answer.json()["errors"][0]["pointer"] == pointer
