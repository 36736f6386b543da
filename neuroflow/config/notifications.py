"""The section that says who is told, about what, and how often."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from neuroflow.config.fields import MailAddress, NotificationUrl, OneLine, Section, WebhookUrl


class Mail(Section):
    """The mail server for email_recipients; by default the one of this machine."""

    host: OneLine = Field(default="localhost", min_length=1, description="Name or address of the SMTP server.")
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Its port; none: 25, with starttls 587, with tls 465."
    )
    tls: Literal["none", "starttls", "tls"] = Field(default="none", description="How the connection is encrypted.")
    user: OneLine | None = Field(default=None, description="Who logs in; none: nobody, as a local server wants it.")
    password: SecretStr | None = Field(
        default=None, description="Password of `user`; better in NEUROFLOW_WORKFLOW__NOTIFICATIONS__MAIL__PASSWORD."
    )
    sender: MailAddress | None = Field(
        default=None, description="Address that mail comes from; none: neuroflow at this machine's name."
    )

    @model_validator(mode="after")
    def _check(self) -> Mail:
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together: set both, or neither")
        if self.password is not None and self.tls == "none" and self.host not in _LOOPBACK:
            raise ValueError("a password would cross the network in the clear: set tls to `starttls` or `tls`")
        return self


_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Notifications(Section):
    """Who is told, and about what."""

    slack_webhook: WebhookUrl | None = Field(default=None, description="Slack incoming-webhook URL.")
    email_recipients: tuple[MailAddress, ...] = Field(default=(), description="Mail addresses.")
    mail: Mail = Field(default_factory=Mail, description="The mail server for email_recipients.")
    urls: tuple[NotificationUrl, ...] = Field(
        default=(), description="Further targets as Apprise URLs (Teams, Matrix, ntfy, ...); they hold secrets."
    )
    on_workflow_complete: bool = Field(default=False, description="Tell when a master workflow has ended.")
    on_stage_failure: bool = Field(
        default=True, description="Tell when runs have failed for good, or a master workflow did not get through."
    )
    on_dead_letter: bool = Field(
        default=True, description="Remind once a day while further failed runs have waited for a person for a day."
    )
    on_breaker: bool = Field(
        default=True, description="Tell when neuroflow holds a pipeline: its runs fail alike, or the site refuses them."
    )
    on_poller_silent: float | None = Field(
        default=60.0, gt=0, description="Tell when nothing has looked at the jobs for so long (min); none: never."
    )
    digest_minutes: float = Field(
        default=60.0,
        ge=1,
        description="Shortest time between two messages about the same failure (min); doubled each time, up to a day.",
    )
    max_per_hour: int = Field(
        default=10, ge=1, description="Most messages in an hour; what is over goes into the next one."
    )

    @property
    def wanted(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self.slack_webhook or self.email_recipients or self.urls)
