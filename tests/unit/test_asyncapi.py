"""The AsyncAPI document: valid, complete, and true of what is really sent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import jsonschema_rs
import pytest
import yaml as reader
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from broker.topology import EXCHANGES, queues
from command import asyncapi, engine_channels, jedi_channels
from command.main import app
from command.pages import pages
from command.yaml_text import yaml
from jedi.document import described
from jedi.replies import Refusal, Reply
from jedi.requests import AnyRequest
from panda_fsm.bindings import bindings, jedi_bindings
from panda_fsm.messages import Message
from tests.asyncapi_objects import Document
from tests.jedi_side import job, submission, without_nulls
from tests.unit.test_events import MESSAGES

DOCUMENT: dict[str, Any] = json.loads(json.dumps(asyncapi.document()))
CHANNELS, OPERATIONS, COMPONENTS = DOCUMENT["channels"], DOCUMENT["operations"], DOCUMENT["components"]
SCHEMAS = asyncapi.schemas()


def references(part: Any) -> Iterator[str]:
    """All places that a part of the document refers to."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for one in part:
            yield from references(one)


def at(reference: str) -> Any:
    """What a reference leads to."""
    found: Any = DOCUMENT
    for word in reference.removeprefix("#/").split("/"):
        found = found[word]
    return found


@cache
def validator(message: str) -> jsonschema_rs.Draft7Validator:
    """The schema of a message in the document, with all the others beside it."""
    payload = COMPONENTS["messages"][message]["payload"]
    return jsonschema_rs.Draft7Validator(payload | {"components": COMPONENTS})


def test_the_file_says_what_the_document_says() -> None:
    assert reader.safe_load(pages()["asyncapi.yaml"]) == DOCUMENT


TEXTS = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" \n"))
TRICKY = st.sampled_from(["no", "1e3", "a: b", "a #b", "x\ny", " x\n  y", "2026-11-26", "~", "- a", "{a}", "0x1", ""])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | TEXTS | TRICKY,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | TRICKY, inner, max_size=3),
        max_leaves=6,
    )
)
def test_whatever_is_written_as_yaml_is_read_again(content: Any) -> None:
    assert reader.safe_load(yaml(content)) == content


def test_it_is_valid() -> None:
    Document.model_validate(DOCUMENT)
    for reference in references(DOCUMENT):
        at(reference)
    for schema in COMPONENTS["schemas"].values():
        jsonschema_rs.Draft7Validator(schema | {"components": COMPONENTS})
        jsonschema_rs.meta.validate(schema | {"$schema": "http://json-schema.org/draft-07/schema#"})


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ("channels", {"jedi.status": {"address": "x", "messages": {}, "colour": "red"}}),
        ("operations", {"x": {"action": "publish", "channel": {"$ref": "#/channels/jedi.status"}, "messages": []}}),
        ("info", {"title": "no version"}),
    ],
)
def test_what_the_specification_does_not_know_is_found(place: str, wrong: Any) -> None:
    with pytest.raises(ValidationError):
        Document.model_validate(DOCUMENT | {place: wrong})


@pytest.mark.parametrize("name", CHANNELS)
def test_places_in_an_address_are_explained(name: str) -> None:
    channel = CHANNELS[name]
    assert set(re.findall(r"\{(\w+)\}", channel["address"])) == set(channel.get("parameters", {}))


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_speak_of_messages_of_their_channels(name: str) -> None:
    for part in (OPERATIONS[name], OPERATIONS[name].get("reply")):
        if part is not None:
            assert part["messages"]
            assert all(one["$ref"].startswith(f"{part['channel']['$ref']}/messages/") for one in part["messages"])


def test_every_exchange_queue_and_message_is_there() -> None:
    bound = [channel["bindings"]["amqp"] for channel in CHANNELS.values()]
    named = {one["exchange"]["name"] for one in bound if "exchange" in one}
    assert {one.name for one in EXCHANGES} == named
    all_queues = {one.name for one in queues(jedi_bindings(["VO"], 1))}
    assert {one["queue"]["name"] for one in bound if "queue" in one} == {
        name.replace(".VO.0", ".{vo}.{shard}").replace(".VO", ".{vo}") for name in all_queues
    }
    requests, replies = get_args(get_args(AnyRequest)[0]), {*Reply.__subclasses__()} - {Refusal}
    spoken = {one.model for one in (jedi_channels.spoken() | engine_channels.spoken()).values()}
    assert spoken >= {*map(described, (*requests, *replies)), *MESSAGES}
    assert set(SCHEMAS) == set(COMPONENTS["messages"])


def test_every_key_that_a_service_waits_for_is_explained() -> None:
    for keys in bindings().values():
        assert all(issubclass(engine_channels.model_of(key), Message) for key in keys)


@given(st.one_of(*MESSAGES.values()))
def test_what_the_engine_sends_is_as_described(message: Message) -> None:
    assert engine_channels.model_of(message.routing_key) is type(message)
    body = json.loads(message.encode())
    validator(f"panda.{body['msg_type']}").validate(body)


@pytest.mark.parametrize("as_sent", [dict, without_nulls])
def test_what_the_real_jedi_hands_over_is_as_described(as_sent: Callable[[Any], Any]) -> None:
    bunch = as_sent(submission(job(1), job(2, PandaID=5001, oldpandaids=[4711], jobsetID="17")))
    validator("jedi.submit_jobs").validate(bunch)
    with pytest.raises(jsonschema_rs.ValidationError):
        validator("jedi.submit_jobs").validate(bunch | {"jobs": [job(1, computingSite=["LAB_B"])]})


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_of_a_message_is_whole_and_says_the_same(name: str) -> None:
    schema = SCHEMAS[name]
    jsonschema_rs.meta.validate(schema)
    jsonschema_rs.Draft202012Validator(schema)
    of_it = COMPONENTS["messages"][name]["payload"]["$ref"]
    assert schema.get("required") == at(of_it).get("required")
    assert schema["properties"].keys() == at(of_it)["properties"].keys()


def test_a_stale_or_forgotten_page_is_found_and_mended(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["docs", "--directory", str(tmp_path), *arguments])
        return result.exit_code, result.output

    assert run()[0] == 0
    assert run("--check") == (0, "")
    (tmp_path / "schemas" / "jedi.gone.json").write_text("{}")
    (tmp_path / "asyncapi.yaml").write_text("asyncapi: 2.0.0\n")
    code, said = run("--check")
    assert (code, "jedi.gone.json" in said, "asyncapi.yaml" in said) == (1, True, True)
    assert run()[0] == 0
    assert run("--check") == (0, "")
