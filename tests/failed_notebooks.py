"""Print the notebooks that failed when pytest last ran them, for `make test` to look again."""

import json
import sys

from fprin_utils.files import ROOT

LAST_FAILED = ROOT / ".pytest_cache/v/cache/lastfailed"

tests = json.loads(LAST_FAILED.read_text(encoding="utf-8"))
notebooks = sorted({test.split("::")[0] for test in tests if test.startswith("notebooks/")})
print(*notebooks)
if not notebooks:
    sys.exit("pytest failed, and no notebook did")
