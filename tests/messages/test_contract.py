"""The contract for machines holds every command and every event, and says the same as the models."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pydantic import BaseModel

from messages.codec import Decoded, decode
from messages.commands import COMMANDS
from messages.contract import asyncapi_document, schemas
from messages.events import EVENT_MODELS, FURTHER_MODELS, OUTCOME_MODELS, EventType
from messages.reasons import MEANINGS, Reason
from messages.reference import reference
from tests.messages.conftest import MESSAGES
from tests.messages.examples import GOOD

SCHEMAS: dict[str, Any] = schemas()["$defs"]
DOCUMENT: dict[str, Any] = asyncapi_document()


def data_of(name: str) -> dict[str, Any]:
    """The schema of a command's data."""
    found: dict[str, Any] = SCHEMAS[f"{name}Event"]["properties"]["data"]
    return SCHEMAS[found["$ref"].rpartition("/")[2]] if "$ref" in found else found


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_schema_with_its_fields(name: str) -> None:
    event, data = SCHEMAS[f"{name}Event"], data_of(name)
    assert event["properties"]["type"]["const"] == f"coins.{name}.v1"
    assert {"specversion", "id", "source", "type", "data"} <= set(event["required"])
    assert set(data["properties"]) == set(COMMANDS[name].model_fields)
    assert data["additionalProperties"] is False
    assert set(data.get("required", ())) <= set(GOOD[name])


def test_a_message_is_any_of_the_commands_or_an_array_of_them() -> None:
    named = {one["$ref"].rpartition("/")[2] for one in SCHEMAS["CommandEvent"]["oneOf"]}
    assert named == {f"{name}Event" for name in COMMANDS}


def test_every_event_that_comes_out_stands_in_both_documents() -> None:
    types = {SCHEMAS[model.__name__]["properties"]["type"]["const"] for model in EVENT_MODELS}
    assert types == {type_.value for type_ in EventType}
    messages = DOCUMENT["components"]["messages"]
    assert {messages[model.__name__]["name"] for model in EVENT_MODELS} == types
    assert set(DOCUMENT["channels"]["events"]["messages"]) == {model.__name__ for model in FURTHER_MODELS}
    assert set(DOCUMENT["channels"]["commands"]["messages"]) == set(COMMANDS)


def test_every_reason_stands_in_the_schema() -> None:
    assert SCHEMAS["Reason"]["enum"] == [reason.value for reason in Reason]


@pytest.mark.parametrize("document", [{"$defs": SCHEMAS}, DOCUMENT], ids=["schema", "asyncapi"])
def test_documents_refer_to_nothing_that_is_not_in_them(document: dict[str, Any]) -> None:
    for target in _references(document):
        found: Any = document
        for step in target.removeprefix("#/").split("/"):
            assert step in found, target
            found = found[step]


def test_patterns_can_be_read_by_others_than_python() -> None:
    patterns = set(_values(SCHEMAS, "pattern"))
    assert patterns
    for pattern in patterns:
        re.compile(pattern)
        assert not re.search(r"\\[AZz]|\(\?[P<#]", pattern), pattern


def test_both_transports_carry_the_same_messages() -> None:
    channels = DOCUMENT["channels"]
    for name in ("commands", "outcomes", "events"):
        assert channels[f"{name}OverRabbitMQ"]["messages"] == channels[name]["messages"]
    for operation in DOCUMENT["operations"].values():
        assert operation["channel"]["$ref"].rpartition("/")[2] in channels


@pytest.mark.parametrize("name", COMMANDS)
def test_the_sample_of_every_command_is_one(name: str) -> None:
    (example,) = DOCUMENT["components"]["messages"][name]["examples"]
    (found,) = decode(json.dumps(example["payload"]).encode())
    assert isinstance(found, Decoded), found
    assert found.event.type == f"coins.{name}.v1"


@pytest.mark.parametrize("model", OUTCOME_MODELS)
def test_the_sample_of_every_outcome_is_one(model: type[BaseModel]) -> None:
    (example,) = DOCUMENT["components"]["messages"][model.__name__]["examples"]
    assert model.model_validate(example["payload"]).model_dump(mode="json") == example["payload"]


def test_every_reason_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Reason)


def test_schemas_say_what_checks_refuse() -> None:
    assert data_of("Adjust")["properties"]["amount"]["not"] == {"const": 0}
    assert data_of("DebitForDeviceOnboarding")["properties"]["devices"]["uniqueItems"] is True
    assert data_of("PowerOff")["properties"]["at"]["format"] == "date-time"
    decimal = re.compile(SCHEMAS["Money"]["properties"]["amount"]["pattern"])
    email = re.compile(data_of("UpdateAccount")["properties"]["email"]["anyOf"][0]["pattern"])
    for pattern, good, bad in ((decimal, "450.00", "1e3"), (email, "", "li.na"), (email, "a@b", "a b@c")):
        assert pattern.search(good)
        assert not pattern.search(bad)


def test_the_reference_is_what_the_models_make_of_it() -> None:
    written = (MESSAGES / "REFERENCE.md").read_text(encoding="utf-8")
    assert written == reference(DOCUMENT), "make it anew: coins contract --markdown > messages/REFERENCE.md"


def test_the_reference_links_to_what_is_there() -> None:
    page = reference(DOCUMENT)
    headings = {line.lstrip("# ").lower() for line in page.splitlines() if line.startswith("#")}
    linked = set(re.findall(r"\]\(#([^)]+)\)", page))
    assert {name.lower() for name in COMMANDS} <= linked <= headings


def _references(value: Any) -> set[str]:
    return set(_values(value, "$ref"))


def _values(value: Any, name: str) -> list[str]:
    if isinstance(value, dict):
        own = [value[name]] if isinstance(value.get(name), str) else []
        return own + [found for inner in value.values() for found in _values(inner, name)]
    return [found for inner in value for found in _values(inner, name)] if isinstance(value, list) else []
