"""Where data come from: one module a source, which returns a ``Dataset``."""
