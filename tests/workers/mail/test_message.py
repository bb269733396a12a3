"""What goes over the wire: the same mail as the same bytes, and nothing that a person typed as a header."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from workers.errors import SettingsInvalid
from workers.mail.errors import MailUnsendable
from workers.mail.message import Attachment, Mail, domain_of, message_id_of, message_of

PDF = b"%PDF-1.7\r\n\x00\xff"
MAIL = Mail(
    message_id="<1@acme.example>",
    sender="Acme Münzen <coins@acme.example>",
    recipient="li.na@acme.example",
    subject="Quittung für 深圳市云程科技有限公司",
    body="你好 李娜,\nالسلام عليكم\nGrüße\n",
    created_at=datetime(2026, 11, 22, 8, 0, 5, tzinfo=UTC),
    attachment=Attachment("acme-2026-000001.pdf", PDF),
)


def received(mail: Mail) -> EmailMessage:
    message = message_from_bytes(message_of(mail).as_bytes(), policy=SMTP)
    assert isinstance(message, EmailMessage)
    return message


def test_a_mail_arrives_as_it_was_written() -> None:
    message = received(MAIL)
    assert message["Message-ID"] == MAIL.message_id
    assert message["Date"] == "Sun, 22 Nov 2026 08:00:05 +0000"
    assert message["From"] == MAIL.sender
    assert message["To"] == MAIL.recipient
    assert message["Subject"] == MAIL.subject
    assert message["Auto-Submitted"] == "auto-generated"
    body = message.get_body()
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == MAIL.body
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "acme-2026-000001.pdf"
    assert attached.get_content_type() == "application/pdf"
    assert attached.get_content() == PDF


def test_the_same_mail_is_the_same_bytes_all_of_them_ascii() -> None:
    first = message_of(MAIL).as_bytes()
    assert first == message_of(replace(MAIL)).as_bytes()
    assert first.isascii()


@pytest.mark.parametrize(
    "subject",
    [
        "Niedriger Stand: Größenwahn & Söhne Überseehandelsgesellschaft (acme.sub-1) hat noch 1.000 Coins "
        * 2,
        "深圳市云程科技有限公司 " * 12,
        "شركة التقنية المتقدمة المحدودة " * 6,
        "plain " * 40,
    ],
)
def test_a_long_subject_arrives_whole(subject: str) -> None:
    assert received(replace(MAIL, subject=subject))["Subject"] == subject.strip()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x0b", "\u2028", "\x00"])
def test_a_line_end_in_a_subject_or_file_name_adds_no_header(end: str) -> None:
    typed = f"Acme{end}Bcc: all@acme.example"
    message = received(replace(MAIL, subject=typed, attachment=Attachment(f"a{end}X-Evil: 1.pdf", PDF)))
    assert message["Subject"] == "Acme Bcc: all@acme.example"
    assert message["Bcc"] is None
    (attached,) = message.iter_attachments()
    assert attached["X-Evil"] is None
    assert attached.get_filename() == "a X-Evil: 1.pdf"


@pytest.mark.parametrize("around", ["", "ü", "x" * 80])
def test_a_line_end_in_disguise_adds_no_header(around: str) -> None:
    typed = f"{around}=?utf-8?q?a=0D=0ABcc:_all@acme.example?={around}"
    sender = f'"{typed[-64:]}" <c@d.example>'
    mail = replace(MAIL, sender=sender, subject=typed, attachment=Attachment(typed, PDF))
    message = received(mail)
    assert message["Subject"] == typed.replace("=?", "= ?")
    assert message["Bcc"] is None
    head = message_of(mail).as_bytes().partition(b"\r\n\r\n")[0]
    assert b"\nBcc" not in head


def test_what_is_no_unicode_is_replaced() -> None:
    message = received(replace(MAIL, subject="a\ud800b", body="c\ud800d", attachment=None))
    assert message["Subject"] == "a?b"
    assert message.get_content().strip() == "c?d"


@pytest.mark.parametrize(
    "recipient",
    [
        "",
        "li.na",
        "li.na@",
        "@acme.example",
        "li na@acme.example",
        "a@acme.example, b@acme.example",
        "a@acme.example\nBcc: b@acme.example",
        "a@acme.example\r\n",
        "Li Na <li.na@acme.example>",
        "a@b@acme.example",
        "a..b@acme.example",
        "a@acme..example",
        "a@-acme.example",
        "李娜@acme.example",
        "=?utf-8?q?a=0ABcc=3A_x?=@acme.example",
        f"{'a' * 65}@acme.example",
        f"a@{'.'.join(['a' * 63] * 4)}.example",
        f"a@{'ü' * 64}.example",
    ],
)
def test_a_recipient_is_one_address_or_unsendable(recipient: str) -> None:
    with pytest.raises(MailUnsendable, match="no single e-mail address") as refused:
        message_of(replace(MAIL, recipient=recipient))
    assert "\n" not in str(refused.value)


def test_a_domain_of_any_letters_is_sent_in_its_ascii_form() -> None:
    assert received(replace(MAIL, recipient="info@münzen.example"))["To"] == "info@xn--mnzen-kva.example"


@pytest.mark.parametrize(
    "sender",
    ["", "coins", "a@b.example, c@d.example", "Acme <coins>", "a@b\nBcc: c@d", f"{'x' * 65} <a@b.example>"],
)
def test_a_sender_that_is_no_address_is_a_setting_to_mend(sender: str) -> None:
    with pytest.raises(SettingsInvalid, match="COINS_MAIL_FROM"):
        message_of(replace(MAIL, sender=sender))


def test_the_domain_of_a_sender() -> None:
    assert domain_of("coins@localhost") == "localhost"
    assert domain_of("Acme <coins@acme.example>") == "acme.example"


def test_a_key_has_one_message_id_for_ever() -> None:
    first = message_id_of("receipt", "acme-2026-000001", "li.na@acme.example", domain="acme.example")
    assert first == "<1c7c1e39361649e2b09e7e30261da62315a38b3d@acme.example>"
    assert first != message_id_of("receipt", "acme-2026-000001l", "i.na@acme.example", domain="acme.example")
