"""Whom a request is counted for."""

from ipaddress import ip_network

import pytest

from runtime.addresses import Addresses

BEHIND_PROXIES = Addresses([ip_network("10.0.0.0/8"), ip_network("fd00::/8")])
PROXY = "10.1.2.3"


def forwarded(*values: str) -> list[str]:
    return list(values)


def test_nobody_is_believed_when_no_proxy_is_trusted() -> None:
    assert Addresses().of("198.51.100.7", forwarded("203.0.113.9")) == "198.51.100.7"


def test_only_a_trusted_proxy_says_who_asks() -> None:
    assert BEHIND_PROXIES.of(PROXY, forwarded("198.51.100.7")) == "198.51.100.7"
    assert BEHIND_PROXIES.of("203.0.113.1", forwarded("198.51.100.7")) == "203.0.113.1"


@pytest.mark.parametrize(
    "values",
    [
        ["1.2.3.4, 198.51.100.7"],
        ["1.2.3.4", "198.51.100.7"],
        ["10.9.9.9, 198.51.100.7"],
        ["nonsense, 198.51.100.7"],
        ["198.51.100.7, 10.0.0.9"],
        ["1.2.3.4, 198.51.100.7, 10.0.0.9", "fd00::1"],
        ["1.2.3.4, 198.51.100.7:40000"],
    ],
)
def test_what_the_client_wrote_itself_does_not_count(values: list[str]) -> None:
    assert BEHIND_PROXIES.of(PROXY, forwarded(*values)) == "198.51.100.7"


@pytest.mark.parametrize("values", [[], [""], ["nonsense"], ["198.51.100.7, nonsense"], ["198.51.100.7,"], ["\xff"]])
def test_a_header_that_names_nobody_leaves_the_proxy_that_brought_it(values: list[str]) -> None:
    assert BEHIND_PROXIES.of(PROXY, forwarded(*values)) == PROXY


def test_a_header_of_proxies_alone_leaves_the_first_of_them() -> None:
    assert BEHIND_PROXIES.of(PROXY, forwarded("10.0.0.1, 10.0.0.2")) == "10.0.0.1"


def test_a_household_has_one_ipv6_network() -> None:
    one, other = "2001:db8:1:2:aaaa::1", "2001:db8:1:2:ffff:ffff:ffff:ffff"
    assert Addresses().of(one, []) == Addresses().of(other, []) == "2001:db8:1:2::/64"
    assert Addresses().of("2001:db8:1:3::1", []) == "2001:db8:1:3::/64"
    assert BEHIND_PROXIES.of(PROXY, forwarded(f"[{one}]:443")) == "2001:db8:1:2::/64"


def test_an_ipv4_address_in_ipv6_clothes_is_the_same_address() -> None:
    assert Addresses().of("::ffff:198.51.100.7", []) == "198.51.100.7"
    assert BEHIND_PROXIES.of("::ffff:10.1.2.3", forwarded("198.51.100.7")) == "198.51.100.7"


def test_connections_without_an_address_are_counted_together() -> None:
    assert Addresses().of(None, []) == "unknown"
