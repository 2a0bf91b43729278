"""URLs of brokers: what they mean, which are refused and why, and what is displayed of them."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.footage.locations import redact_url
from service.alert.mqtt.broker_url import BrokerUrl, check_broker_url, parse_broker_url
from service.errors import BadInput


@pytest.mark.parametrize(
    ("url", "target"),
    [
        (
            "mqtt://broker.example.com",
            BrokerUrl("broker.example.com", 1883, False, None, None, "normwatch", "homeassistant"),
        ),
        (
            "MQTTS://u:p@broker.example.com:8884/a/b-1?discovery=off",
            BrokerUrl("broker.example.com", 8884, True, "u", "p", "a/b-1", None),
        ),
        (
            "mqtts://u@[2001:db8::1]?discovery=ha/x",
            BrokerUrl("2001:db8::1", 8883, True, "u", None, "normwatch", "ha/x"),
        ),
        (
            "mqtt://u%40x:p@ss/w:o#rd?%2F%ü@h:1/n",
            BrokerUrl("h", 1, False, "u@x", "p@ss/w:o#rd?/%ü", "n", "homeassistant"),
        ),
        (
            "mqtt://\u6771\u3000\u5317:p%C2%A0s\u200ds@h/n",
            BrokerUrl(
                "h", 1883, False, "\u6771\u3000\u5317", "p\u00a0s\u200ds", "n", "homeassistant"
            ),
        ),
    ],
)
def test_a_url_says_where_and_who(url: str, target: BrokerUrl) -> None:
    assert parse_broker_url(url) == target
    assert str(target.password) not in repr(target) or target.password in (None, "p")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://broker.test/", "mqtt://"),
        ("broker.test", "mqtt://"),
        ("mqtt://", "names no host"),
        ("mqtt://u:geheim@:1883/", "names no host"),
        ("mqtt://u:geheim@bro ker/", "not a name or an address"),
        ("mqtt://u:geheim@bröker.test/", "not a name or an address"),
        ("mqtt://u:geheim@h:0", "port"),
        ("mqtt://u:geheim@h:65536", "port"),
        ("mqtt://u:geheim@h:x", "port"),
        ("mqtt://u:geheim@[::1]x:9", "port"),
        ("mqtt://u:geheim@h/a//b", "topic prefix"),
        ("mqtt://u:geheim@h/a/", "topic prefix"),
        ("mqtt://u:geheim@h/a/+", "topic prefix"),
        ("mqtt://u:geheim@h/$SYS", "topic prefix"),
        ("mqtt://u:geheim@h/a%23", "topic prefix"),
        ("mqtt://u:geheim@h/" + "a" * 201, "200 characters"),
        ("mqtt://u:geheim@h/a#b", "only"),
        ("mqtt://u:geheim@h/a\u3000b", "topic prefix"),
        ("mqtt://u:geheim@h/a\nb", "only"),
        ("mqtt://u:ge\nheim@h/a", "control"),
        ("mqtt://u:ge%00heim@h/a", "control"),
        ("mqtt://u:geheim@h/a?qos=2", "option"),
        ("mqtt://u:geheim@h/a?discovery=a&discovery=b", "option"),
        ("mqtt://u:geheim@h/a?discovery=", "discovery"),
        ("mqtt://u:geheim@h/a?discovery=a/%2B", "discovery"),
        ("mqtt://u:geheim@h/homeassistant", "somebody else's"),
        ("mqtt://u:geheim@h/ha?discovery=ha", "somebody else's"),
    ],
)
def test_an_odd_url_is_refused(url: str, why: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_broker_url(url, allow_private=True)
    assert caught.value.field == "url"
    assert why in caught.value.reason
    assert "heim" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("10.1.2.3", True),
        ("[::1]", True),
        ("[fe80::1]", False),
        ("169.254.169.254", False),
    ],
)
def test_a_private_host_is_refused_unless_allowed(host: str, allowed: bool) -> None:
    with pytest.raises(BadInput, match="private network"):
        check_broker_url(f"mqtt://u:p@{host}/", allow_private=False)
    refused = nullcontext() if allowed else pytest.raises(BadInput, match="private network")
    with refused:
        check_broker_url(f"mqtt://u:p@{host}/", allow_private=True)


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=8))
def test_no_password_is_displayed(password: str) -> None:
    for url in (f"mqtt://us_er:{password}@h.test/nw", f"mqtts://{password}@h.test"):
        displayed = redact_url(url)
        assert displayed.startswith(url.partition("//")[0] + "//***@h.test")
        assert password not in displayed or password in "***@h.test/nw"
