"""Names of parametrized tests."""

import re


def plainly(value: object) -> str:
    """A value in the name of its test, without the address it happens to have: the workers of
    one run must agree on the names."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
