"""Receipts as PDF files. Read `pdf.py` first; `layout.py` says what stands where."""
