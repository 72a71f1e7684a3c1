"""The initialisers that an ONNX graph declares and does not use, read from its bytes without the package `onnx`.

Only a few kinds of fields are followed: initialisers, nodes with their inputs, and the graphs inside their attributes.
"""

from __future__ import annotations

from collections.abc import Iterator

from diffclient.errors import InferenceError

_GRAPH, _NODE, _INITIALISER, _OUTPUT, _INPUT, _ATTRIBUTE = 7, 1, 5, 12, 1, 5
"""Fields of a model, of its graph (three), and of a node (two)."""

_GRAPHS_INSIDE = (6, 11)
"""Fields of an attribute that hold a graph."""

_NAME, _TENSOR_NAME = 1, 8
"""The fields that name an output and an initialiser."""

_DEPTH = 32
_BYTES = 2
_SKIPPED = {1: 8, 5: 4}
"""Wire types of fixed length, and that."""


def unused_initialisers(model: bytes) -> set[str]:
    """Return the names of the graph's initialisers that no node takes and that are no output; raises InferenceError."""
    try:
        graphs = list(_parts(memoryview(model), _GRAPH))
        declared = {
            name for graph in graphs for part in _parts(graph, _INITIALISER) for name in _texts(part, _TENSOR_NAME)
        }
        return declared - {name for graph in graphs for name in _taken(graph, 0)}
    except (IndexError, UnicodeDecodeError, ValueError) as error:
        raise InferenceError(f"the graph does not run with these weights: it is no ONNX ({error})") from error


def _taken(graph: memoryview, depth: int) -> Iterator[str]:
    if depth > _DEPTH:
        raise ValueError("its parts are too deep")
    for output in _parts(graph, _OUTPUT):
        yield from _texts(output, _NAME)
    for node in _parts(graph, _NODE):
        yield from _texts(node, _INPUT)
        for attribute in _parts(node, _ATTRIBUTE):
            for inside in _parts(attribute, *_GRAPHS_INSIDE):
                yield from _taken(inside, depth + 1)


def _texts(message: memoryview, field: int) -> Iterator[str]:
    for part in _parts(message, field):
        yield bytes(part).decode()


def _parts(message: memoryview, *fields: int) -> Iterator[memoryview]:
    """Yield the contents of a message's fields of these numbers."""
    place = 0
    while place < len(message):
        key, place = _number(message, place)
        wire = key & 7
        if wire == _BYTES:
            length, place = _number(message, place)
            if place + length > len(message):
                raise ValueError("a field ends early")
            if key >> 3 in fields:
                yield message[place : place + length]
            place += length
        elif wire == 0:
            _, place = _number(message, place)
        elif wire in _SKIPPED:
            place += _SKIPPED[wire]
        else:
            raise ValueError(f"a field of wire type {wire}")


def _number(message: memoryview, place: int) -> tuple[int, int]:
    """Return a variable-length number, and where what follows begins."""
    value = shift = 0
    while True:
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number without an end")
