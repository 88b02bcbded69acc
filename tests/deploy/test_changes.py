"""What operators type to change something, and what the API is asked for."""

import pytest
import typer

from deploy.changes import wish_of


@pytest.mark.parametrize(
    ("value", "wish"),
    [
        ("on", {"is_on": True}),
        ("120", {"is_on": True, "retry_after_seconds": 120}),
        ("off", {"is_on": False}),
        (None, {"is_on": False}),
    ],
)
def test_maintenance_begins_and_ends_as_one_says_it(value: str | None, wish: dict[str, object]) -> None:
    assert wish_of("maintenance", value) == ("/v1/admin/maintenance", wish)


@pytest.mark.parametrize("name", ["maintenance", "currency"])
def test_what_cannot_be_is_refused_before_anybody_is_asked(name: str) -> None:
    with pytest.raises(typer.BadParameter):
        wish_of(name, "perhaps")
