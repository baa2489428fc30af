"""Makes the helpers beside this file (``oracles``) importable from every test."""
