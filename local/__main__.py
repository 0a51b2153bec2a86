"""``python -m local``: the command line of the embedded stack."""

from __future__ import annotations

import sys

from local.cli import main

sys.exit(main(sys.argv[1:]))
