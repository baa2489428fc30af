"""A traced function as a small program of primitive operations.

What a program is stands in ``program.py``; ``KINDS`` there lists all that its operations can do.
"""

from jaxnn.program.program import KINDS, Operation, Program, Value

__all__ = ["KINDS", "Operation", "Program", "Value"]
