"""Every mail that is sent can be read."""

from tests.sandbox.conftest import Sandbox


async def test_mails_are_kept_for_their_recipients_oldest_first(sandbox_clean: Sandbox) -> None:
    await sandbox_clean.send_mail("Ann@example.com", subject="Your order № 1", text="Grüße.\n")
    await sandbox_clean.send_mail("bob@example.com")
    await sandbox_clean.send_mail("ann@example.com", subject="Second")
    mails = (await sandbox_clean.get("/mail?to=ann@example.com"))["items"]
    assert [mail["subject"] for mail in mails] == ["Your order № 1", "Second"]
    first = mails[0]
    assert (first["from"], first["to"]) == ("Sutler <shop@example.com>", ["Ann@example.com"])
    assert (first["text"], first["html"]) == ("Grüße.\n", "<p>Grüße.</p>\n")
    assert (first["message_id"], first["headers"]["To"]) == ("<order-1@example.com>", "Ann@example.com")
    assert len((await sandbox_clean.get("/mail"))["items"]) == 3
    assert [mail["id"] for mail in (await sandbox_clean.get(f"/mail?after={first['id']}&limit=1"))["items"]] == [
        first["id"] + 1
    ]
    async with sandbox_clean.http.delete(f"{sandbox_clean.url}/mail") as answer:
        assert answer.status == 204
    assert (await sandbox_clean.get("/mail"))["items"] == []
