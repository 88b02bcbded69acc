"""The catalogue in several languages: the API of these tests speaks en, de, de-AT and fr."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import text

from api.errors import PROBLEMS
from api.titles import TITLES
from runtime.resources import Resources
from tests.api.catalog_calls import a_new_category, names
from tests.support.answers import code_of
from tests.support.catalog import AProduct, VariantWanted, a_product, unique
from tests.support.waiting import eventually


@pytest.fixture
async def product(api: httpx.AsyncClient, admin: dict[str, str], resources: Resources) -> AProduct:
    category = await a_new_category(api, admin, name=unique("Kitchen"))
    return await a_product(resources.sessions, name=unique("Mug"), category_id=category["id"], brand=unique("Brand"))


def path_of(product: AProduct) -> str:
    return f"/v1/products/{product.product_id}"


async def say(
    api: httpx.AsyncClient, admin: dict[str, str], product: AProduct, language: str, name: str, **more: Any
) -> httpx.Response:
    headers = {**admin, **more.pop("headers", {})}
    return await api.put(
        f"{path_of(product)}/translations/{language}", json={"name": name, "description": f"{name}!"}, headers=headers
    )


async def shown(api: httpx.AsyncClient, product: AProduct, wish: str) -> tuple[str, str, str]:
    """Name, description and language."""
    answer = await api.get(path_of(product), headers={"Accept-Language": wish})
    assert "Accept-Language" in answer.headers["Vary"]
    body = answer.json()
    return body["name"], body["description"], answer.headers["Content-Language"]


async def test_a_product_is_shown_in_the_best_language_it_has(
    api: httpx.AsyncClient, admin: dict[str, str], product: AProduct
) -> None:
    own = (product.name, "", "en")
    for wish in ("de-AT", "de", "fr", "it", ""):
        assert await shown(api, product, wish) == own
    assert (await say(api, admin, product, "de", "Becher")).status_code == 204

    assert await shown(api, product, "de-AT, en;q=0.5") == ("Becher", "Becher!", "de")
    assert await shown(api, product, "de-CH") == ("Becher", "Becher!", "de")
    assert await shown(api, product, "it, de;q=0.5") == ("Becher", "Becher!", "de")
    for wish in ("fr, de;q=0.5", "en, de;q=0.5", "it", "*", "x" * 300):
        assert await shown(api, product, wish) == own

    await say(api, admin, product, "de-AT", "Häferl")
    assert await shown(api, product, "de-AT") == ("Häferl", "Häferl!", "de-AT")
    assert await shown(api, product, "de") == ("Becher", "Becher!", "de")
    taken = await api.delete(f"{path_of(product)}/translations/de-AT", headers=admin)
    assert taken.status_code == 204
    assert await shown(api, product, "de-AT") == ("Becher", "Becher!", "de")


async def test_each_language_has_a_tag_of_its_own_and_what_is_kept_of_it_is_not_mixed_up(
    api: httpx.AsyncClient, admin: dict[str, str], product: AProduct
) -> None:
    await say(api, admin, product, "de", "Becher")
    tags: dict[str, str] = {}
    for _ in range(3):  # the third time the answer is ready
        for wish in ("en", "de", "fr"):
            answer = await api.get(path_of(product), headers={"Accept-Language": wish})
            tags.setdefault(wish, answer.headers["ETag"])
            assert answer.headers["ETag"] == tags[wish]
    assert tags["de"] != tags["en"] == tags["fr"]
    again = await api.get(path_of(product), headers={"Accept-Language": "de", "If-None-Match": tags["de"]})
    other = await api.get(path_of(product), headers={"Accept-Language": "en", "If-None-Match": tags["de"]})
    assert (again.status_code, other.status_code) == (304, 200)
    assert again.headers["Content-Language"] == "de"

    await say(api, admin, product, "de", "Tasse")
    changed = await api.get(path_of(product), headers={"Accept-Language": "de", "If-None-Match": tags["de"]})
    assert (changed.status_code, changed.json()["name"]) == (200, "Tasse")


async def test_lists_and_categories_are_shown_in_the_language_as_well(
    api: httpx.AsyncClient, admin: dict[str, str], product: AProduct, resources: Resources
) -> None:
    category = (await api.get(path_of(product))).json()["category"]
    other = await a_product(resources.sessions, name=f"{product.name} spoon", category_id=category["id"])
    await say(api, admin, product, "de", "Becher")
    called = await api.put(f"/v1/categories/{category['id']}/translations/de", json={"name": "Küche"}, headers=admin)
    asked = {"q": product.name, "sort": "name", "facets": "category"}

    german = await api.get("/v1/products", params=asked, headers={"Accept-Language": "de"})
    english = await api.get("/v1/products", params=asked)
    tree = await api.get("/v1/categories", headers={"Accept-Language": "de"})

    assert called.status_code == 204
    assert names(german) == ["Becher", other.name]
    assert {item["category"]["name"] for item in german.json()["items"]} == {"Küche"}
    assert german.json()["facets"]["category"][0]["name"] == "Küche"
    assert names(english) == [product.name, other.name]
    assert english.json()["facets"]["category"][0]["name"] == category["name"]
    assert (german.headers["Content-Language"], english.headers["Content-Language"]) == ("de", "en")
    assert "Küche" in {node["name"] for node in tree.json()["items"]}
    assert "Küche" not in {node["name"] for node in (await api.get("/v1/categories")).json()["items"]}


async def test_a_translation_that_cannot_be_is_refused_and_changes_nothing(
    api: httpx.AsyncClient, admin: dict[str, str], product: AProduct
) -> None:
    before = await api.get(f"{path_of(product)}/translations", headers=admin)
    answers = [
        await say(api, admin, product, "en", "Mug"),
        await say(api, admin, product, "it", "Tazza"),
        await say(api, admin, product, "de", ""),
    ]
    stale = await say(api, admin, product, "de", "Becher", headers={"If-Match": '"99-x"'})
    nothing = await api.put(f"/v1/products/{uuid4()}/translations/de", json={"name": "x"}, headers=admin)
    no_category = await api.put(f"/v1/categories/{uuid4()}/translations/de", json={"name": "x"}, headers=admin)

    assert {code_of(answer) for answer in answers} == {(422, "validation_failed")}
    assert code_of(stale) == (412, "precondition_failed")
    assert code_of(nothing) == code_of(no_category) == (404, "not_found")
    after = await api.get(f"{path_of(product)}/translations", headers=admin)
    assert (after.json(), after.headers["ETag"]) == ({"items": []}, before.headers["ETag"])


async def test_a_change_by_anybody_is_shown_at_once(
    api: httpx.AsyncClient, resources: Resources, product: AProduct
) -> None:
    assert (await shown(api, product, "fr"))[0] == product.name
    async with resources.sessions.begin() as session:
        await session.execute(
            text("INSERT INTO product_translations (product_id, language, name) VALUES (:id, 'fr', 'Tasse')"),
            {"id": product.product_id},
        )

    async def is_french() -> bool:
        return (await shown(api, product, "fr"))[0] == "Tasse"

    await eventually(is_french)


async def test_things_in_a_cart_are_called_as_in_its_language_and_stay_so(
    api: httpx.AsyncClient, admin: dict[str, str], product: AProduct, resources: Resources
) -> None:
    sized = await a_product(resources.sessions, variants=[VariantWanted(name="XL")])
    await say(api, admin, product, "de", "Becher")
    await say(api, admin, sized, "de", "Hemd")
    found = {}
    for wish in ("de-AT", "fr", ""):
        made = await api.post("/v1/carts", json={"currency": "USD"}, headers={"Accept-Language": wish})
        for one in (product, sized):
            wanted = {"variant_id": str(one.variant_id), "quantity": 1}
            filled = await api.post(f"/v1/carts/{made.json()['id']}/items", json=wanted)
        found[wish] = [item["name"] for item in filled.json()["items"]]

    own = [product.name, f"{sized.name} – XL"]
    assert found == {"de-AT": ["Becher", "Hemd – XL"], "fr": own, "": own}


async def test_titles_of_problems_are_translated_and_codes_are_not(api: httpx.AsyncClient) -> None:
    asked = f"/v1/products/{uuid4()}"
    german = (await api.get(asked, headers={"Accept-Language": "de-CH, en;q=0.5"})).json()
    english = (await api.get(asked, headers={"Accept-Language": "fr"})).json()

    assert (german["title"], german["code"]) == ("Das gibt es nicht", "not_found")
    assert (english["title"], english["code"]) == ("There is no such thing", "not_found")
    assert german["type"] == english["type"]


def test_titles_are_of_problems_that_there_are() -> None:
    for titles in TITLES.values():
        assert titles.keys() <= PROBLEMS.keys()
        assert all(titles.values())
