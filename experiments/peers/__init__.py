"""The benchmarks' opponents: the same work as jaxnn does, in other ways.

Each, but for the browser, takes a ``Problem`` and gives a function that trains one epoch from the
same initial weights and returns the seconds it took and the weights it ended with.
"""
