"""A method's parameters as people write them, `spread=0.7` and `steps=900`: name and value. Needs no torch.

What a name stands for is left to `methods.definition`.
"""

from collections.abc import Iterable

from diffserver.errors import Invalid


def parse(texts: Iterable[str]) -> dict[str, str]:
    """Return the values of `name=value` by name; raises Invalid on other text, and on a name that comes twice."""
    parameters: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise Invalid(f"{text!r} sets no parameter", "write name=value, as in learning_rate=0.004")
        if name in parameters:
            raise Invalid(f"{name} is given twice", "give each parameter once")
        parameters[name] = value
    return parameters
