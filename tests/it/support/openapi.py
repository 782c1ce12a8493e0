"""Judges an OpenAPI document and answers against it.

Reads {"document": {…}, "answers": [{"method", "path", "status", "media", "body"}]} from standard input and writes
{"document": [fault, …], "answers": [[fault, …], …]}.
"""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator


def beside(schema, found):
    """Names of schemas that are joined with further fields where they are used."""
    if isinstance(schema, dict):
        if "$ref" in schema and "properties" in schema:
            found.add(schema["$ref"].rsplit("/", 1)[1])
        for value in schema.values():
            beside(value, found)
    elif isinstance(schema, list):
        for value in schema:
            beside(value, found)
    return found


def strict(components):
    """Clients must bear unknown fields; the document must know every field all the same."""
    joined = beside(components, set())
    schemas = {}
    for name, schema in components["schemas"].items():
        if "properties" in schema and name not in joined:
            schema = {**schema, "unevaluatedProperties": False}
        schemas[name] = schema
    return {**components, "schemas": schemas}


def faults(document, components, answer):
    operation = document["paths"][answer["path"]][answer["method"]]
    content = operation["responses"][answer["status"]]["content"]
    schema = {**content[answer["media"]]["schema"], "components": components}
    errors = Draft202012Validator(schema).iter_errors(answer["body"])
    return [f"{error.json_path}: {error.message}" for error in errors]


def main():
    asked = json.load(sys.stdin)
    document = asked["document"]
    found = {"document": [], "answers": []}
    found["document"] = [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]
    if not found["document"]:
        for name, schema in document["components"]["schemas"].items():
            Draft202012Validator.check_schema(schema)
        components = strict(document["components"])
        found["answers"] = [faults(document, components, answer) for answer in asked["answers"]]
    json.dump(found, sys.stdout)


main()
