"""The examples of docs/extending.rst, as a project would write them; tests/unit/test_extending.py runs them."""
