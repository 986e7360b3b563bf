"""How the tests run: fewer random examples at the desk, more where a machine waits for them; nobody's own settings."""

import os

from hypothesis import settings

settings.register_profile("dev", max_examples=60, deadline=None)
settings.register_profile("ci", max_examples=400, deadline=None, derandomize=False, print_blob=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "dev")

for name in [name for name in os.environ if name.startswith("RICOCHET_") and not name.startswith("RICOCHET_TEST_")]:
    del os.environ[name]
