"""The contract for machines: JSON Schemas of everything that goes in and comes out, and the AsyncAPI 3 document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from .channels import channels, operations
from .commands import COMMANDS, type_of
from .envelope import EVENT_OF, MAX_BATCH
from .events import EVENT_MODELS, FURTHER_MODELS, OUTCOME_MODELS
from .reasons import MEANINGS, Reason
from .samples import OUTCOMES, SAMPLES, event_of

CONTENT_TYPE = "application/cloudevents+json"
_DEFINITIONS = "#/components/schemas/{model}"


def schemas() -> dict[str, Any]:
    """One JSON Schema document (2020-12): every command event, a batch of them, and every event that comes out."""
    commands = [EVENT_OF[type_of(name)] for name in COMMANDS]
    _, document = models_json_schema(
        [
            *((model, "validation") for model in commands),
            *((model, "serialization") for model in EVENT_MODELS),
        ],
        title="coinworks",
        ref_template="#/$defs/{model}",
    )
    definitions = document["$defs"]
    definitions["Reason"] = {
        "type": "string",
        "enum": [reason.value for reason in Reason],
        "x-enumDescriptions": {reason.value: MEANINGS[reason] for reason in Reason},
    }
    definitions["Message"] = {
        "description": f"One event, or an array of 1 to {MAX_BATCH:,} of them; at most 1 MiB.",
        "oneOf": [
            {"$ref": "#/$defs/CommandEvent"},
            {
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_BATCH,
                "items": {"$ref": "#/$defs/CommandEvent"},
            },
        ],
    }
    definitions["CommandEvent"] = {"oneOf": [{"$ref": f"#/$defs/{model.__name__}"} for model in commands]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "coinworks: commands in, events out",
        "$ref": "#/$defs/Message",
        "$defs": definitions,
    }


def asyncapi_document() -> dict[str, Any]:
    """AsyncAPI 3.0: the channels of the edge, who sends and who receives there, and the messages."""
    definitions = schemas()["$defs"]
    messages = {
        name: _message(f"{name}Event", model, type_of(name), event_of(type_of(name), SAMPLES[name]))
        for name, model in COMMANDS.items()
    }
    outcomes, further = (
        {
            model.__name__: _message(
                model.__name__, model, f"coins.{model.__name__}.v1", OUTCOMES.get(model.__name__)
            )
            for model in models
        }
        for models in (OUTCOME_MODELS, FURTHER_MODELS)
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "coinworks",
            "version": "1",
            "description": "Commands go in as CloudEvents; exactly one outcome comes back for each.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": channels(messages, outcomes, further),
        "operations": operations(),
        "components": {"messages": {**messages, **outcomes, **further}, "schemas": _moved(definitions)},
    }


def _message(
    schema: str, model: type[BaseModel], type_: str, sample: dict[str, Any] | None
) -> dict[str, Any]:
    made = {
        "name": type_,
        "summary": (model.__doc__ or "").strip().splitlines()[0],
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": _DEFINITIONS.format(model=schema)},
    }
    return {**made, "examples": [{"payload": sample}]} if sample is not None else made


def _moved(value: Any) -> Any:
    """The same schemas, referring to each other in their new place."""
    if isinstance(value, dict):
        return {key: _moved(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_moved(inner) for inner in value]
    if isinstance(value, str) and value.startswith("#/$defs/"):
        return value.replace("#/$defs/", "#/components/schemas/")
    return value
