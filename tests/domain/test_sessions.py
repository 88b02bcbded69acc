"""What is kept of a device."""

import pytest

from domain.sessions import Device, device


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:abcd:12::1", "2001:db8:abcd::/48"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:abcd:12::/64", "2001:db8:abcd::/48"),
        ("unknown", None),
        ("", None),
        (None, None),
    ],
)
def test_of_an_address_only_its_network_is_kept(address: str | None, network: str | None) -> None:
    assert device(user_agent=None, address=address) == Device(network=network)


def test_what_a_device_says_of_itself_is_cut_and_cleaned() -> None:
    assert device(user_agent="A\nphone\x00 ", address=None).user_agent == "Aphone"
    assert device(user_agent="x" * 300, address=None).user_agent == "x" * 200
    assert device(user_agent="\n", address=None).user_agent is None
