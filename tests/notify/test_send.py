"""Messages over real HTTP and SMTP, and what is said of targets that don't take them."""

from __future__ import annotations

import email
import email.policy
import io
import threading

import pytest
from pydantic import SecretStr

from neuroflow import log as logs
from neuroflow.config.notifications import Mail, Notifications
from neuroflow.config.sections import Logging
from neuroflow.domain import Message
from neuroflow.errors import NotificationError
from neuroflow.notify.send import _build, check, send
from neuroflow.notify.targets import Target, targets_of
from tests.support.receivers import mail_server, webhook

MESSAGE = Message("[neuroflow lab] qsiprep: 1 run failed", "why: ‹path› ist weg\nlook: neuroflow status")


def only(policy: Notifications) -> Target:
    (target,) = targets_of(policy)
    return target


def by_url(url: str) -> Target:
    return only(Notifications(urls=(SecretStr(url),)))


def test_a_webhook_gets_subject_and_body() -> None:
    with webhook() as hook:
        send(by_url(hook.url), MESSAGE)
    (got,) = hook.messages
    assert (got["title"], got["message"], got["type"]) == (MESSAGE.subject, MESSAGE.body, "warning")


def test_each_recipient_gets_a_mail_of_its_own() -> None:
    with mail_server() as box:
        mail = Mail(host="127.0.0.1", port=box.port, sender="neuroflow@lab.example.org")
        targets = targets_of(Notifications(email_recipients=("a@example.org", "b@gmail.com"), mail=mail))
        for target in targets:
            send(target, MESSAGE)
    assert [target.name for target in targets] == ["mail to a@example.org", "mail to b@gmail.com"]
    assert [(sender, to) for sender, to, _ in box.mails] == [
        ("neuroflow@lab.example.org", ["a@example.org"]),
        ("neuroflow@lab.example.org", ["b@gmail.com"]),
    ]
    got = email.message_from_string(box.mails[0][2], policy=email.policy.default)
    assert got["Subject"] == MESSAGE.subject
    assert "‹path› ist weg\r\nlook: neuroflow status" in got.get_body(("plain",)).get_content()


def test_a_slack_webhook_goes_to_slack() -> None:
    target = only(
        Notifications(slack_webhook=SecretStr("https://hooks.slack.com/services/T0AAAAAAA/B0AAAAAAA/geheim24"))
    )
    assert target.name == "slack"
    assert type(_build(target)).__name__ == "NotifySlack"
    assert (_build(target).token_a, _build(target).token_c) == ("T0AAAAAAA", "geheim24")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "url",
    [
        "json://user:geheim@127.0.0.1:1/geheim-path?geheim=geheim2",
        "nonsense://geheim-token/geheim2",
        "slack://geheim",
        "tgram://geheim:token/geheim",
        "json://127.0.0.1:geheim/",
    ],
)
def test_no_secret_in_the_error_the_log_or_the_name(url: str, capfd: pytest.CaptureFixture[str]) -> None:
    log = io.StringIO()
    logs.configure(Logging(level="DEBUG", format="json"), service="test", stream=log)
    target = by_url(url)
    with pytest.raises(NotificationError) as caught:
        send(target, MESSAGE)
    streams = capfd.readouterr()
    for text in (str(caught.value), repr(target), target.name, log.getvalue(), streams.out, streams.err):
        assert "geheim" not in text
    assert str(caught.value).startswith(f"urls[0] ({url.partition(':')[0]}): ")


def test_the_reason_of_a_failure_is_told() -> None:
    with webhook() as hook:
        hook.status = 500
        with pytest.raises(NotificationError, match="error=500"):
            send(by_url(hook.url), MESSAGE)
    with pytest.raises(NotificationError, match="Connection refused"):
        send(by_url(hook.url), MESSAGE)


def test_a_server_that_never_answers_holds_nobody() -> None:
    with webhook() as hook:
        hook.slow = threading.Event()
        with pytest.raises(NotificationError, match=r"urls\[0\] \(json\): no answer within 0.2 seconds"):
            send(by_url(hook.url), MESSAGE, limit_seconds=0.2)
        hook.slow.set()


def test_an_address_that_apprise_does_not_know_is_refused_before_anything_is_sent() -> None:
    check(by_url("json://127.0.0.1:1/x"))
    with pytest.raises(NotificationError, match=r"urls\[0\] \(nonsense\): Apprise can't use this address"):
        check(by_url("nonsense://x"))
