"""Where mailed links lead. Opening a page changes nothing: programs that look through mail open links as well."""

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from litestar import MediaType, Response, get

from domain.permissions import Permission


@dataclass(frozen=True)
class Page:
    """Asks for a word, and for what else it takes, and sends that with the link's token to ``action``."""

    title: str
    action: str
    button: str
    thanks: str
    fields: tuple[tuple[str, str], ...] = ()
    """Names and kinds of what has to be filled in."""
    refusal: tuple[str, str, str] | None = None
    """Where to say no: the action, its button, and the thanks for it."""

    @cached_property
    def script(self) -> str:
        yes = (self.action, self.thanks)
        no = (self.refusal[0], self.refusal[2]) if self.refusal else yes
        return f"""
const token = new URLSearchParams(location.search).get("token");
const said = document.querySelector("p");
document.querySelector("form").addEventListener("submit", async (event) => {{
  event.preventDefault();
  const filled = Object.fromEntries(new FormData(event.target));
  const [action, thanks] = event.submitter.name === "refusal" ? {json.dumps(no)} : {json.dumps(yes)};
  const answer = await fetch(action, {{
    method: "POST",
    headers: {{"Content-Type": "application/json"}},
    body: JSON.stringify({{token, ...filled}}),
  }});
  const body = await answer.json();
  const wrong = (body.errors || []).map((error) => error.detail).join(" ");
  said.textContent = answer.ok ? thanks : wrong || body.detail;
}});
"""

    @cached_property
    def policy(self) -> str:
        digest = base64.b64encode(hashlib.sha256(self.script.encode()).digest()).decode()
        return f"default-src 'none'; connect-src 'self'; form-action 'none'; script-src 'sha256-{digest}'"

    @cached_property
    def html(self) -> bytes:
        fields = "\n".join(
            f'<label>{name.capitalize()} <input name="{name}" type="{kind}" required></label>'
            for name, kind in self.fields
        )
        refuse = f'<button name="refusal">{self.refusal[1]}</button>' if self.refusal else ""
        return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{self.title}</title></head>
<body>
<h1>{self.title}</h1>
<form>
{fields}
<button>{self.button}</button>
{refuse}
</form>
<p></p>
<script>{self.script}</script>
</body>
</html>
""".encode()

    def answer(self) -> Response[bytes]:
        return Response(
            self.html,
            media_type=MediaType.HTML,
            headers={
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
                "Content-Security-Policy": self.policy,
            },
        )


VERIFICATION = Page(
    title="Confirm your e-mail address",
    action="/v1/auth/verify-email",
    button="Confirm",
    thanks="Thank you. You can sign in now.",
)
PASSWORD_RESET = Page(
    title="Choose a new password",
    action="/v1/auth/password-reset/confirm",
    button="Change my password",
    thanks="Your password is changed. You can sign in with it now.",
    fields=(("password", "password"),),
)


EMAIL_CHANGE = Page(
    title="A new e-mail address",
    action="/v1/auth/email-change/confirm",
    button="Agree",
    thanks="Thank you. The address changes once both mailboxes have agreed.",
    refusal=("/v1/auth/email-change/refuse", "Refuse", "The address stays as it is. All devices were signed out."),
)


INVITATION = Page(
    title="You are invited",
    action="/v1/auth/invitations/accept",
    button="Accept",
    thanks="Welcome. You can sign in now.",
    fields=(("username", "text"), ("password", "password")),
)


UNSUBSCRIBE = Page(
    title="No more reminders",
    action="/v1/unsubscribe",
    button="Send me no more of them",
    thanks="You get no more reminders of carts.",
)


@get("/verify-email", permission=Permission.SIGN_IN, include_in_schema=False, sync_to_thread=False)
def verification_page() -> Response[bytes]:
    return VERIFICATION.answer()


@get("/password-reset", permission=Permission.SIGN_IN, include_in_schema=False, sync_to_thread=False)
def password_reset_page() -> Response[bytes]:
    return PASSWORD_RESET.answer()


@get("/email-change", permission=Permission.SIGN_IN, include_in_schema=False, sync_to_thread=False)
def email_change_page() -> Response[bytes]:
    return EMAIL_CHANGE.answer()


@get("/invitation", permission=Permission.SIGN_IN, include_in_schema=False, sync_to_thread=False)
def invitation_page() -> Response[bytes]:
    return INVITATION.answer()


@get("/unsubscribe", permission=Permission.SIGN_IN, include_in_schema=False, sync_to_thread=False)
def unsubscribe_page() -> Response[bytes]:
    return UNSUBSCRIBE.answer()
