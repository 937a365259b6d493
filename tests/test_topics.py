"""Finds what a topic lacks in any layer (CONTRIBUTING.md lists what belongs to a topic)."""

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from django.apps import apps
from msgspec import Struct

from api.v1.entries import SentData
from eventstore import codec
from eventstore.domain.messages import Command, Event
from eventstore.domain.ordered import OrderedSet
from eventstore.domain.topic import Topic
from eventstore.domain.topics import TOPICS, Topics
from projections.projectors import PROJECTORS

ROOT = Path(__file__).resolve().parent.parent
of_every_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
# the fields of a state that no entry carries: the order follows from the positions of the members
UNTOLD = {"order"}
FILES = (
    "eventstore/domain/{}.py",
    "api/v1/{}.py",
    "tests/domain/test_{}.py",
    "tests/api/test_{}.py",
)


@of_every_topic
def test_its_files_are_there_in_every_layer(topic: Topic) -> None:
    missing = [file for file in FILES if not (ROOT / file.format(topic.name)).exists()]
    assert missing == []


def test_every_module_of_the_domain_that_declares_a_topic_has_its_line_in_the_registry() -> None:
    modules = [path.stem for path in (ROOT / "eventstore/domain").glob("*.py")]
    declared = [name for name in modules if hasattr(import_module(f"eventstore.domain.{name}"), "TOPIC")]
    assert sorted(declared) == sorted(topic.name for topic in TOPICS)
    assert [topic.name for topic in TOPICS] == [
        name for name in Topics.__struct_fields__ if name != "user_id"
    ]


def test_topics_are_held_to_the_import_contract() -> None:
    contract = (ROOT / "pyproject.toml").read_text().partition("topics do not import each other")[2]
    named = re.findall(r'"eventstore\.domain\.(\w+)"', contract.partition("]")[0])
    assert sorted(named) == sorted(topic.name for topic in TOPICS)


@of_every_topic
def test_all_its_commands_and_events_are_declared(topic: Topic) -> None:
    module = import_module(f"eventstore.domain.{topic.name}")
    defined = [
        one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__
    ]
    assert {one for one in defined if issubclass(one, Command)} == set(topic.commands)
    assert {one for one in defined if issubclass(one, Event)} == set(topic.events)
    assert {event.__name__ for event in topic.events} <= codec.EVENTS.keys()


@of_every_topic
def test_its_projector_writes_tables_that_a_model_describes(topic: Topic) -> None:
    projector = PROJECTORS[topic.name]
    tables = {
        model._meta.db_table.replace('"', "") for model in apps.get_app_config("projections").get_models()
    }
    assert set(projector.tables) <= tables
    assert projector.handles >= topic.register.carriers.keys()


@of_every_topic
def test_a_device_may_send_and_be_told_all_of_its_entries(topic: Topic) -> None:
    assert topic.plural in SentData.__struct_fields__
    register = topic.register
    untold = register.fields.keys() - register.entry_fields.keys() - UNTOLD
    assert untold == set(), "a device is not told of these fields"
    if isinstance(register, OrderedSet):
        assert register.plural in register.entry.__struct_fields__


@of_every_topic
def test_the_api_has_paths_for_it(topic: Topic) -> None:
    assert find_spec(f"api.v1.{topic.name}") is not None
    assert import_module(f"api.v1.{topic.name}").paths


def test_states_and_entries_are_plain_structs() -> None:
    for topic in TOPICS:
        assert issubclass(topic.register.state, Struct)
        assert issubclass(topic.register.entry, Struct)


def test_contributing_lists_the_files_of_a_topic() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text()
    assert [file for file in FILES if f"`{file.format('<topic>')}`" not in guide] == []
