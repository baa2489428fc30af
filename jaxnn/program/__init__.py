"""A traced function as a small program of primitive operations.

``make_program`` traces a function of JAX once and flattens it; ``run`` runs the result in NumPy,
and is what every other back end is compared with. ``KINDS`` lists all that operations can do.
"""

from jaxnn.program.numpy import run
from jaxnn.program.program import KINDS, Operation, Program, Value
from jaxnn.program.trace import make_program

__all__ = ["KINDS", "Operation", "Program", "Value", "make_program", "run"]
