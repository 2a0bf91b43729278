"""The URLs and addresses that webhooks may have."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from service.alert.addresses import check_url, is_public
from service.alert.mqtt.broker_url import check_broker_url
from service.errors import BadInput


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "http://example.com:8080/hook?token=1",
        "https://93.184.216.34/",
        "https://[2606:2800:220:1:248:1893:25c8:1946]/",
        "https://bücher.example/",
    ],
)
def test_a_public_url_is_taken(url: str) -> None:
    check_url(url, allow_private=False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://example.com/", "http"),
        ("file:///etc/passwd", "http"),
        ("javascript:alert(1)", "http"),
        ("example.com/hook", "http"),
        ("", "http"),
        ("https://", "host"),
        ("https:///path", "host"),
        ("https://user:pass@example.com/", "password"),
        ("https://example.com:99999/", "port"),
        ("https://example.com:0/", "port"),
        ("https://exa mple.com/", "host"),
        ("https://a%2fb.com/", "host"),
        ("https://\x00/", "URL"),
        ("https://[::1/", "URL"),
        ("http://0177.0.0.1/", "URL"),
        ("https://example.com/" + "x" * 3000, "longer"),
    ],
)
def test_a_url_that_cant_be_called_is_refused_with_the_field(url: str, reason: str) -> None:
    for allow_private in (False, True):
        with pytest.raises(BadInput, match=reason) as caught:
            check_url(url, allow_private=allow_private)
        assert caught.value.field == "url"
        assert "user:pass" not in str(caught.value)


_PRIVATE = [
    "http://localhost/",
    "http://LOCALHOST./",
    "http://app.localhost:8000/",
    "http://127.0.0.1/",
    "http://10.0.0.1/",
    "http://172.16.3.4/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data",
    "http://100.64.0.1/",
    "http://0.0.0.0/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[ff02::1]/",
    "http://[2002:7f00:1::]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[fec0::1]/",
    "http://[fe80::5efe:7f00:1]/",
    "http://[2001::1]/",
    "http://192.0.0.8/",
    "http://192.88.99.1/",
    "http://198.18.0.1/",
]


@pytest.mark.parametrize("url", _PRIVATE)
def test_a_private_host_needs_the_operators_leave(url: str) -> None:
    with pytest.raises(BadInput, match="private"):
        check_url(url, allow_private=False)
    if any(form in url for form in ("//169.254.", "//[fe80")):  # not even then
        with pytest.raises(BadInput, match="private"):
            check_url(url, allow_private=True)
    else:
        check_url(url, allow_private=True)


def test_networks_can_be_allowed_one_by_one() -> None:
    networks = (ip_network("192.168.1.0/24"), ip_network("169.254.7.0/24"), ip_network("::1/128"))
    for host in ("192.168.1.9", "169.254.7.1", "[::1]", "localhost", "[::ffff:192.168.1.9]"):
        check_url(f"http://{host}/", allow_private=networks)
    check_url("http://8.8.8.8/", allow_private=networks)
    for host in ("192.168.2.9", "169.254.169.254", "127.0.0.1", "[fd00::1]"):
        with pytest.raises(BadInput, match="private"):
            check_url(f"http://{host}/", allow_private=networks)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0x7f000001", "127.1", "134744072"])
def test_an_address_is_written_in_its_usual_form(host: str) -> None:
    for allow_private in (False, True):
        with pytest.raises(BadInput, match="hides"):
            check_url(f"http://{host}/", allow_private=allow_private)
        with pytest.raises(BadInput, match="hides"):
            check_broker_url(f"mqtt://{host}/", allow_private=allow_private)


def test_public_addresses_are_told_from_others() -> None:
    assert is_public("8.8.8.8")
    assert is_public("::ffff:8.8.8.8")
    assert is_public("2002:808:808::")
    assert not is_public("::ffff:10.0.0.1")
    assert not is_public("64:ff9b::10.0.0.1")
    assert is_public("64:ff9b::8.8.8.8")
    assert not is_public("fe80::1%1")
