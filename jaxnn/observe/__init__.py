"""Consumers of the reports that ``fit`` yields: each is a function called with every report."""

from jaxnn.observe.console import console
from jaxnn.observe.metrics import metrics

__all__ = ["console", "metrics"]
