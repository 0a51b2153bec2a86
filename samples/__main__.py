"""``python -m samples campaigns --rows N --out DIR [--dirty] [--seed S]``: make sample files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from samples import campaigns


def main() -> None:
    """Write the files and print their manifest."""
    parser = argparse.ArgumentParser(prog="python -m samples", description=__doc__)
    pipelines = parser.add_subparsers(dest="pipeline", required=True)
    command = pipelines.add_parser("campaigns", help="campaign events as CSV")
    shape = campaigns.Shape()
    command.add_argument("--rows", type=int, default=shape.rows)
    command.add_argument("--users", type=int, default=shape.users)
    command.add_argument("--messages", type=int, default=shape.messages)
    command.add_argument("--campaigns", type=int, default=shape.campaigns)
    command.add_argument("--empty", type=float, default=shape.empty, help="share without message")
    command.add_argument("--zipf", type=float, default=shape.zipf, help="exponent, 0: all alike")
    command.add_argument("--message-characters", type=int, default=shape.message_characters)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--out", type=Path, required=True)
    command.add_argument("--dirty", action="store_true", help="with one of each defect")
    options = parser.parse_args()
    wanted = campaigns.Shape(
        rows=options.rows,
        users=options.users,
        messages=options.messages,
        campaigns=options.campaigns,
        empty=options.empty,
        zipf=options.zipf,
        message_characters=options.message_characters,
    )
    print(json.dumps(campaigns.main(options.out, wanted, options.seed, dirty=options.dirty)))


if __name__ == "__main__":
    main()
