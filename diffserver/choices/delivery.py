"""The name of the task of models that are only delivered: it has no data, so nothing is trained or measured."""

DELIVERY = "delivery"
