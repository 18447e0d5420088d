"""What all tests share."""

import os

from hypothesis import settings

# Slow machines are no finding. In CI the same examples are drawn each time, so that a
# failure belongs to the change; on a developer's machine new ones are looked for.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "local")
