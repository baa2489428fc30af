"""The exceptions that jaxnn raises for mistakes of input."""


class JaxnnError(Exception):
    """A mistake of input that the user can mend; scripts print it as one message, exit status 2."""


class DataError(JaxnnError):
    """A data file is missing, damaged, or not what the data set needs."""


class ConfigError(JaxnnError):
    """A configuration has an unknown key, or a value that is not allowed."""


class RunError(JaxnnError):
    """A run cannot start or go on: its directory cannot be written, or what it left is unusable."""
