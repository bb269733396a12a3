"""What is wrong with a value, in words for whoever wrote it: the same at every door."""

from __future__ import annotations

from typing import Any

from .fields import PATTERNS_IN_WORDS


def say(fault: Any) -> str:
    """What is wrong with a field, in words for whoever wrote the message."""
    match fault["type"]:
        case "extra_forbidden":
            return "is not a field here; remove it"
        case "missing":
            return "is missing"
        case "int_type" | "int_from_float" | "int_parsing":
            return "must be an integer: no decimals, no quotes, no true or false"
        case "model_type":
            return (
                "must be an object with its fields, as in cycle.unit=month cycle.count=1 on the command line"
            )
        case "string_pattern_mismatch":
            pattern = str(fault["msg"]).partition("'")[2].rstrip("'")
            return PATTERNS_IN_WORDS.get(pattern, f"must match {pattern}")
    return str(fault["msg"]).removeprefix("Value error, ").replace("Input should", "must")
