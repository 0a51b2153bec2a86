"""``python -m migrations``: bring the database at POSTGRES_URL to the newest revision."""

from __future__ import annotations

import os
import sys

from migrations.upgrade import upgrade

if __name__ == "__main__":
    url = os.environ.get("POSTGRES_URL")
    if not url:
        sys.exit("POSTGRES_URL is not set. See .env.example.")
    upgrade(url)
