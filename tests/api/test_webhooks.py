"""Webhooks over HTTP: changed, their secrets rotated, tested, and their messages sent again."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest
from pytest_httpserver import HTTPServer
from standardwebhooks import Webhook, WebhookVerificationError

from service.alert import test_messages as trials
from service.alert.attempts import Receiver, ReceiverKind
from service.alert.senders import make_senders
from service.api.receiver_rows import SWITCHED_OFF
from service.errors import BacklogFull
from service.settings import Settings
from service.store.database import Database
from service.store.tables import AttemptRow, ReceiverRow
from tests.support.front_end import FUTURE, add_messages, client
from tests.support.servers import wait_for

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


@pytest.fixture(scope="module")
def api(module_settings: Settings) -> Iterator[httpx.Client]:
    """One front end for all tests here."""
    with client(module_settings) as made:
        yield made


@pytest.fixture
def rows(api: httpx.Client, module_settings: Settings) -> Iterator[Database]:
    """Its database."""
    assert api.get("/healthz").is_success
    database = Database(module_settings.database)
    yield database
    database.close()


@pytest.fixture
def hook(api: httpx.Client) -> Iterator[str]:
    """A webhook whose port refuses at once; its messages go with it."""
    answer = api.post("/webhooks", json={"url": "http://127.0.0.1:9/hook", "secret": SECRET})
    assert answer.status_code == 201, answer.text
    ident = str(answer.json()["id"])
    yield ident
    assert api.delete(f"/webhooks/{ident}").status_code == 204


def _states(api: httpx.Client, hook: str) -> dict[str, str]:
    items = api.get(f"/webhooks/{hook}/deliveries").json()["items"]
    return {item["id"]: item["state"] for item in items}


def _row(rows: Database, hook: str) -> ReceiverRow:
    with rows.read() as session:
        return session.get_one(ReceiverRow, hook)


def test_a_webhook_has_a_name_and_its_streams(api: httpx.Client, stream_id: str) -> None:
    body = {"url": "http://127.0.0.1:9/", "name": " On call ", "stream_ids": [stream_id] * 2}
    made = api.post("/webhooks", json=body).json()
    assert (made["name"], made["stream_ids"]) == ("On call", [stream_id])
    answered = api.get(f"/webhooks/{made['id']}").json()
    assert answered == {key: value for key, value in made.items() if key != "secret"}
    assert api.delete(f"/streams/{stream_id}").status_code == 204
    # It must not be notified of all streams now.
    assert api.get(f"/webhooks/{made['id']}").json()["stream_ids"] == []


def test_a_name_may_hold_the_spaces_and_joiners_of_any_script(api: httpx.Client, hook: str) -> None:
    for name in (
        "\u6771\u53e3\u3000\u5317",
        "\U0001f468\u200d\U0001f467",
        "\u0645\u06cc\u200c\u062e\u00a0x",
    ):
        answer = api.patch(f"/webhooks/{hook}", json={"name": name})
        assert (answer.status_code, answer.json().get("name")) == (200, name)


def test_a_change_leaves_what_it_doesnt_name(api: httpx.Client, stream_id: str, hook: str) -> None:
    before = api.get(f"/webhooks/{hook}").json()
    assert api.patch(f"/webhooks/{hook}", json={}).json() == before
    for change in (
        {"url": "https://example.com/other"},
        {"name": "Night shift"},
        {"event_types": ["event.ended", "stream.down"]},
        {"stream_ids": [stream_id]},
        {"stream_ids": None},
    ):
        answer = api.patch(f"/webhooks/{hook}", json=change)
        assert answer.status_code == 200, answer.text
        before |= change
        assert answer.json() == api.get(f"/webhooks/{hook}").json() == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "ftp://example.com/"}, "url"),
        ({"url": "https://u:geheim@example.com/"}, "url"),
        ({"url": None}, "url"),
        ({"name": None}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"event_types": ["event.never"]}, "event_types[0]"),
        ({"event_types": None}, "event_types"),
        ({"stream_ids": ["nobody"]}, "stream_ids[0]"),
        ({"enabled": None}, "enabled"),
        ({"secret": SECRET}, "secret"),
    ],
)
def test_a_change_that_cannot_be_is_refused(
    api: httpx.Client, hook: str, change: dict[str, object], field: str
) -> None:
    before = api.get(f"/webhooks/{hook}").json()
    answer = api.patch(f"/webhooks/{hook}", json=change)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["fields"][0]["field"] == field
    assert "geheim" not in answer.text
    assert api.get(f"/webhooks/{hook}").json() == before


def test_switching_it_on_removes_why_it_was_off(
    api: httpx.Client, rows: Database, hook: str
) -> None:
    with rows.write() as session:
        row = session.get_one(ReceiverRow, hook)
        row.enabled, row.disabled_reason = False, "the receiver answered 410 Gone"
        row.held_until = FUTURE
    answered = api.patch(f"/webhooks/{hook}", json={"enabled": False}).json()
    assert answered["disabled_reason"] == "the receiver answered 410 Gone"
    answered = api.patch(f"/webhooks/{hook}", json={"enabled": True}).json()
    assert (answered["enabled"], answered["disabled_reason"], answered["held_until"]) == (
        True,
        None,
        None,
    )
    answered = api.patch(f"/webhooks/{hook}", json={"enabled": False}).json()
    assert (answered["enabled"], answered["disabled_reason"]) == (False, SWITCHED_OFF)


def test_a_new_secret_is_displayed_once_and_the_old_one_stays_for_a_day(
    api: httpx.Client, rows: Database, hook: str
) -> None:
    answer = api.post(f"/webhooks/{hook}/secret")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    secret = answer.json()["secret"]
    row = _row(rows, hook)
    assert (row.secret, row.old_secret) == (secret, SECRET)
    assert row.old_secret_until == pytest.approx(time.time() + 86_400, abs=60)
    answered = api.get(f"/webhooks/{hook}")
    assert answered.json()["old_secret_until"] == answer.json()["old_secret_until"]
    assert "whsec_" not in answered.text
    third = api.post(f"/webhooks/{hook}/secret", json={"old_valid_s": 60}).json()["secret"]
    assert (_row(rows, hook).secret, _row(rows, hook).old_secret) == (third, secret)


def test_a_secret_that_leaked_is_forgotten_at_once(
    api: httpx.Client, rows: Database, hook: str
) -> None:
    brought = "whsec_OTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
    body = {"secret": brought, "old_valid_s": 0}
    answer = api.post(f"/webhooks/{hook}/secret", json=body).json()
    assert answer == {"secret": brought, "old_secret_until": None}
    row = _row(rows, hook)
    assert (row.secret, row.old_secret, row.old_secret_until) == (brought, None, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"secret": "whsec_geheim"}, "secret"),
        ({"secret": SECRET}, "secret"),
        ({"old_valid_s": -1}, "old_valid_s"),
        ({"old_valid_s": 31 * 86_400}, "old_valid_s"),
        ({"old_valid_s": None}, "old_valid_s"),
    ],
)
def test_a_rotation_that_cannot_be_is_refused(
    api: httpx.Client, rows: Database, hook: str, body: dict[str, object], field: str
) -> None:
    answer = api.post(f"/webhooks/{hook}/secret", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["fields"][0]["field"] == field
    assert "geheim" not in answer.text
    assert SECRET not in answer.text
    assert _row(rows, hook).secret == SECRET


def test_a_test_message_is_signed_with_both_secrets_and_its_answer_reported(
    api: httpx.Client, hook: str, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("welcome\n", 202)
    api.patch(f"/webhooks/{hook}", json={"url": httpserver.url_for("/hook"), "enabled": False})
    secret = api.post(f"/webhooks/{hook}/secret").json()["secret"]
    answered = api.post(f"/webhooks/{hook}/test").json()
    assert (answered["accepted"], answered["status"], answered["error"]) == (True, 202, None)
    assert answered["answer"] == "", "what a private host answers isn't kept"
    assert answered["took_s"] >= 0
    ((request, _),) = httpserver.log
    body, headers = request.get_data(as_text=True), dict(request.headers)
    assert headers["Webhook-Id"] == answered["message_id"]
    for each in (secret, SECRET):
        message = Webhook(each).verify(body, headers)
        assert (message["type"], message["data"]) == ("test", {"receiver_id": hook})
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(body, headers)
    assert api.get(f"/webhooks/{hook}/deliveries").json()["items"] == []


@pytest.mark.parametrize("status", [302, 410, 500])
def test_a_test_message_that_isnt_accepted_says_so_and_changes_nothing(
    api: httpx.Client, hook: str, httpserver: HTTPServer, status: int
) -> None:
    inside = {"Location": httpserver.url_for("/inside")}
    httpserver.expect_request("/hook").respond_with_data("no", status, headers=inside)
    api.patch(f"/webhooks/{hook}", json={"url": httpserver.url_for("/hook")})
    answered = api.post(f"/webhooks/{hook}/test").json()
    assert (answered["accepted"], answered["status"], answered["answer"]) == (False, status, "")
    assert answered["error"] == f"the receiver answered {status}"
    assert [request.path for request, _ in httpserver.log] == ["/hook"]
    assert api.get(f"/webhooks/{hook}").json()["enabled"]


def test_a_receiver_that_cant_be_reached_is_reported(api: httpx.Client, hook: str) -> None:
    answered = api.post(f"/webhooks/{hook}/test").json()
    assert (answered["accepted"], answered["status"], answered["answer"]) == (False, None, None)
    assert "connection failed" in answered["error"]


def test_tests_call_no_private_address(settings: Settings, httpserver: HTTPServer) -> None:
    """Neither by its number, which can't be registered, nor by a name, which is looked up."""
    httpserver.expect_request("/").respond_with_data("secret")
    with client(settings.model_copy(update={"allow_private_receivers": False})) as api:
        by_name = f"http://localtest.invalid:{httpserver.port}/"
        hook = api.post("/webhooks", json={"url": by_name}).json()["id"]
        database = Database(settings.database)
        with database.write() as session:
            # As after a change of the setting, and as a name that points here would be.
            session.get_one(ReceiverRow, hook).url = httpserver.url_for("/")
        database.close()
        answered = api.post(f"/webhooks/{hook}/test").json()
        answer = api.patch(f"/webhooks/{hook}", json={"url": "http://169.254.169.254/"})
    assert "may not call such an address" in answered["error"]
    assert answer.status_code == 422
    assert httpserver.log == []


def test_few_tests_are_under_way_at_once(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "AT_ONCE", 1)
    made = trials.Trials(make_senders(Settings(allow_private_receivers=True)))
    refused: list[BacklogFull] = []

    def send() -> trials.Trial:
        url = httpserver.url_for("/")
        return made.send(Receiver("hook", ReceiverKind.WEBHOOK, url, SECRET))

    def answer(_: object) -> str:
        try:
            send()
        except BacklogFull as error:
            refused.append(error)
        return "taken"

    httpserver.expect_request("/").respond_with_handler(answer)
    assert send().attempt.error is None
    assert [error.limit for error in refused] == [1]
    assert send().attempt.error is None


def test_messages_are_listed_by_state_page_by_page(
    api: httpx.Client, rows: Database, hook: str
) -> None:
    add_messages(rows, hook, "dead", "delivered", "dead", "waiting", "dead")
    pages: list[str] = []
    before: str | None = None
    while True:
        params = {"state": "dead", "limit": "1"} | ({"before": before} if before else {})
        page = api.get(f"/webhooks/{hook}/deliveries", params=params).json()
        pages += [item["id"] for item in page["items"]]
        before = page["next"]
        if before is None:
            break
    assert pages == ["msg_4", "msg_2", "msg_0"]
    every = api.get(f"/webhooks/{hook}/deliveries").json()
    assert [item["id"] for item in every["items"]] == [f"msg_{n}" for n in (4, 3, 2, 1, 0)]
    assert every["next"] is None


@pytest.mark.parametrize(
    "query",
    [{"state": "lost"}, {"before": "x"}, {"before": "1_2"}, {"before": f"1_{2**63}_msg"}],
)
def test_messages_are_asked_for_properly(
    api: httpx.Client, hook: str, query: dict[str, str]
) -> None:
    answer = api.get(f"/webhooks/{hook}/deliveries", params=query)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["fields"][0]["field"] in query


def test_a_message_shows_how_its_attempts_went(
    api: httpx.Client, rows: Database, hook: str
) -> None:
    add_messages(rows, hook, "dead")
    with rows.write() as session:
        for number, status in enumerate((None, 500)):
            session.add(
                AttemptRow(
                    delivery_id="msg_0",
                    at=100.0 + number,
                    took_s=0.25,
                    status=status,
                    answer=None if status is None else f"who is {SECRET}?",
                    error="no answer within 10 s" if status is None else "it answered 500",
                )
            )
    answered = api.get(f"/webhooks/{hook}/deliveries/msg_0").json()
    assert (answered["state"], answered["body"]) == ("dead", "{}")
    assert answered["history"] == [
        {
            "at": "1970-01-01T00:01:40.000000Z",
            "took_s": 0.25,
            "status": None,
            "answer": None,
            "error": "no answer within 10 s",
        },
        {
            "at": "1970-01-01T00:01:41.000000Z",
            "took_s": 0.25,
            "status": 500,
            "answer": "who is whsec_***?",
            "error": "it answered 500",
        },
    ]


def test_one_message_is_sent_again_with_its_id(
    api: httpx.Client, rows: Database, hook: str, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("")
    api.patch(f"/webhooks/{hook}", json={"url": httpserver.url_for("/hook")})
    add_messages(rows, hook, "dead", "dead")
    answer = api.post(f"/webhooks/{hook}/deliveries/msg_1/replay")
    assert answer.status_code == 200, answer.text
    assert (answer.json()["state"], answer.json()["id"]) == ("waiting", "msg_1")
    assert answer.json()["replayed_at"] is not None
    wait_for(lambda: _states(api, hook)["msg_1"] == "delivered", "the replayed message")
    assert _states(api, hook)["msg_0"] == "dead"
    assert [request.headers["Webhook-Id"] for request, _ in httpserver.log] == ["msg_1"]


def test_all_dead_letters_are_sent_again_in_their_order(
    api: httpx.Client, rows: Database, hook: str, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/hook", method="POST").respond_with_data("")
    api.patch(f"/webhooks/{hook}", json={"url": httpserver.url_for("/hook")})
    add_messages(rows, hook, "dead", "delivered", "dead", "dead")
    answer = api.post(f"/webhooks/{hook}/replay", params={"limit": 2})
    assert answer.json() == {"replayed": 2, "dead": 1}
    assert api.post(f"/webhooks/{hook}/replay").json() == {"replayed": 1, "dead": 0}
    assert api.post(f"/webhooks/{hook}/replay").json() == {"replayed": 0, "dead": 0}
    wait_for(lambda: set(_states(api, hook).values()) == {"delivered"}, "all of them")
    ids = [request.headers["Webhook-Id"] for request, _ in httpserver.log]
    assert ids == ["msg_0", "msg_2", "msg_3"]


def test_what_waits_already_and_a_webhook_that_is_off_are_no_replay(
    api: httpx.Client, rows: Database, hook: str
) -> None:
    add_messages(rows, hook, "waiting", "dead")
    waiting = api.post(f"/webhooks/{hook}/deliveries/msg_0/replay")
    assert (waiting.status_code, waiting.json()["error"]["code"]) == (409, "conflict")
    api.patch(f"/webhooks/{hook}", json={"enabled": False})
    for path in ("deliveries/msg_1/replay", "replay"):
        answer = api.post(f"/webhooks/{hook}/{path}")
        assert answer.status_code == 409
        assert "enabled" in answer.json()["error"]["message"]
    assert _states(api, hook) == {"msg_0": "waiting", "msg_1": "dead"}


def test_a_message_belongs_to_its_webhook(api: httpx.Client, rows: Database, hook: str) -> None:
    add_messages(rows, hook, "dead")
    other = api.post("/webhooks", json={"url": "http://127.0.0.1:9/"}).json()["id"]
    for ident, message in ((other, "msg_0"), (hook, "msg_9"), (hook, "%00"), ("none", "msg_0")):
        path = f"/webhooks/{ident}/deliveries/{message}"
        assert api.get(path).status_code == 404
        assert api.post(f"{path}/replay").status_code == 404
    for action in ("secret", "test", "replay"):
        assert api.post(f"/webhooks/none/{action}").status_code == 404
    assert api.patch("/webhooks/none", json={}).status_code == 404
