"""The name of the task of models that are only delivered: without data, so that nothing is trained or measured."""

DELIVERY = "delivery"
