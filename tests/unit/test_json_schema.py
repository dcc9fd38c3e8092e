"""What a JSON Schema says of a place."""

import pytest

from llama_extract_dlt.tables.schemas.json_schema import Shape, schema_hash


@pytest.mark.parametrize(
    ("schema", "data_type"),
    [
        ({"type": "string"}, "text"),
        ({"type": "string", "format": "date"}, "date"),
        ({"type": "string", "format": "date-time"}, "timestamp"),
        ({"type": "string", "format": "uuid"}, "text"),
        ({"type": ["integer", "null"]}, "bigint"),
        ({"type": ["integer", "number"]}, "double"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "bool"),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, "text"),
        ({"allOf": [{"type": "boolean"}, {"type": "integer"}]}, "bigint"),
        ({"type": ["boolean", "integer", "number"]}, "double"),
        ({"enum": ["a", "b"]}, "text"),
        ({"const": 1.5}, "double"),
        ({"$ref": "#/$defs/money"}, "double"),
        ({"$ref": "#/$defs/nothing"}, None),
        ({"$ref": "https://elsewhere"}, None),
        ({"type": "object"}, None),
        ({"type": 5, "enum": 3, "anyOf": "x", "format": []}, None),
        ({}, None),
        (None, None),
        ("text", None),
    ],
)
def test_the_type_of_a_scalar(schema, data_type):
    root = {"properties": {"a": schema}, "$defs": {"money": {"type": "number"}}}
    assert Shape(root).member("a").data_type == data_type


def test_members_elements_and_descriptions_are_found_through_references():
    person = {"description": "one", "properties": {"name": {"type": "string"}, "friends": {"$ref": "#/$defs/people"}}}
    root = {"$ref": "#/$defs/person", "$defs": {"person": person, "people": {"type": "array", "items": person}}}
    friends = Shape(root).member("friends")
    assert (Shape(root).is_list, friends.is_list) == (False, True)
    assert friends.element().description == "one"
    assert friends.element().member("friends").element().member("name").data_type == "text"
    assert friends.member("name").data_type is None


def test_a_schema_that_refers_to_itself_ends():
    assert Shape({"$ref": "#", "anyOf": [{"$ref": "#"}, {"type": "integer"}]}).data_type == "bigint"


def test_other_members_have_the_type_of_additional_properties():
    shape = Shape({"properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "integer"}})
    assert (shape.member("a").data_type, shape.member("b").data_type) == ("text", "bigint")


def test_a_hash_depends_on_the_content_alone():
    assert schema_hash({"a": 1, "b": [1, 2]}) == schema_hash({"b": [1, 2], "a": 1})
    assert schema_hash({"a": 1, "b": [1, 2]}) != schema_hash({"a": 1, "b": [2, 1]})
