"""`neuroflow notify`: a real test message, and what became of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from neuroflow.orchestrator.notifications import notify_round
from tests.cli.test_commands import CONFIG, Installation
from tests.support.receivers import Mailbox, Webhook, mail_server, webhook


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def configure(installation: Installation, hook: Webhook, box: Mailbox) -> None:
    text = f"""\
  notifications:
    email_recipients: [lab@example.org]
    mail: {{host: 127.0.0.1, port: {box.port}, sender: neuroflow@example.org}}
    urls: ['{hook.url}']
"""
    installation.config.write_text(CONFIG.replace("containers:", text + "containers:"))


def test_every_target_gets_a_test_message(installation: Installation) -> None:
    with webhook() as hook, mail_server() as box:
        configure(installation, hook, box)
        result = installation.run("notify", "test")  # without a database
        assert result.stdout.splitlines() == ["mail to lab@example.org: sent", "urls[0] (json): sent"]
        assert (len(hook.messages), len(box.mails)) == (1, 1)
        installation.run("notify", "test", "--channel", "mail")
        assert (len(hook.messages), len(box.mails)) == (1, 2)


def test_one_that_fails_is_named_and_the_others_get_theirs(installation: Installation) -> None:
    with mail_server() as box:
        with webhook() as hook:
            configure(installation, hook, box)
        result = installation.run("notify", "test", code=9)
    assert "mail to lab@example.org: sent" in result.stdout
    assert "urls[0] (json): " in result.stderr
    assert "1 of 2 targets did not take the test message" in result.stderr
    assert "geheim" not in result.output
    assert len(box.mails) == 1


def test_without_a_target_or_with_an_unknown_one_it_says_what_to_do(installation: Installation) -> None:
    assert "there is no target" in installation.run("notify", "test", code=2).stderr
    with webhook() as hook, mail_server() as box:
        configure(installation, hook, box)
        error = installation.run("notify", "test", "--channel", "pager", code=2).stderr
    assert "no target's name starts with 'pager'; there are: mail to lab@example.org, urls[0] (json)" in error


def test_the_list_shows_what_arrived_and_what_did_not(installation: Installation) -> None:
    installation.make_database()
    assert "nobody was told anything yet" in installation.run("notify", "list").stdout
    with mail_server() as box:
        with webhook() as hook:
            configure(installation, hook, box)
        with installation.state() as state:
            state.hold_pipeline("qsiprep", reason="alike")
        with installation.services() as services:
            notify_round(services, gather=False)
    text = installation.run("notify", "list").stdout
    for part in ("sent", "pending", "Connection refused", "next try"):
        assert part in text
    report = installation.json("notify", "list")
    assert {item["target"]: item["status"] for item in report["deliveries"]} == {
        "mail to lab@example.org": "sent",
        "urls[0] (json)": "pending",
    }
    assert "notifications that did not arrive: 1" in installation.run("status").stdout


def test_secrets_are_not_shown(installation: Installation) -> None:
    with webhook() as hook, mail_server() as box:
        configure(installation, hook, box)
    assert "geheim" not in installation.run("config", "show").stdout
    assert "geheim" not in installation.run("config", "show", "--json").stdout


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("urls: ['not a url geheim']", "must be an Apprise URL"),
        ("mail: {user: me}", "user and password belong together"),
        ("mail: {host: smtp.example.org, user: me, password: geheim}", "cross the network in the clear"),
        ("max_per_hour: 0", "max_per_hour"),
    ],
)
def test_bad_settings_are_named_without_their_value(installation: Installation, keys: str, message: str) -> None:
    installation.config.write_text(CONFIG.replace("containers:", f"  notifications:\n    {keys}\ncontainers:"))
    error = installation.run("config", "validate", code=2).stderr
    assert message in error
    assert "geheim" not in error


@pytest.mark.parametrize(
    "keys", ["slack_webhook: 'https://chat.example.org/hooks/geheim'", "urls: ['nonsense://geheim/x']"]
)
def test_an_address_that_apprise_does_not_know_is_refused_by_validate(installation: Installation, keys: str) -> None:
    installation.config.write_text(CONFIG.replace("containers:", f"  notifications:\n    {keys}\ncontainers:"))
    error = installation.run("config", "validate", code=9).stderr
    assert "Apprise can't use this address" in error
    assert "geheim" not in error
