"""Receipts as PDF files. Read `pdf.py` first; `layout.py` says what stands where."""

from workers.receipts.pdf import render
from workers.receipts.receipt import Receipt

__all__ = ["Receipt", "render"]
