"""Make sample files.

``python -m samples campaigns --rows N --out DIR [--dirty] [--seed S]``: campaign events;
``python -m samples music --songs N --out DIR [--seed S]``: songs in every format;
``python -m samples reading --events N --out DIR [--seed S]``: reading history and messages;
``python -m samples domains --domains N --out DIR [--seed S]``: metrics and categories of shops;
``python -m samples images --products N --out DIR [--seed S]``: a catalogue, images and requests.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from samples import campaigns, domains, images, music, reading


def main() -> None:
    """Write the files and print their manifest."""
    parser = argparse.ArgumentParser(prog="python -m samples", description=__doc__)
    pipelines = parser.add_subparsers(dest="pipeline", required=True)
    _add_campaigns(pipelines.add_parser("campaigns", help="campaign events as CSV"))
    _add_music(pipelines.add_parser("music", help="songs in every format"))
    _add_reading(pipelines.add_parser("reading", help="reading history and messages"))
    _add_domains(pipelines.add_parser("domains", help="metrics and categories of shops"))
    _add_images(pipelines.add_parser("images", help="a catalogue of products and their images"))
    options = parser.parse_args()
    print(json.dumps(options.make(options)))


def _add_campaigns(command: argparse.ArgumentParser) -> None:
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
    command.set_defaults(make=_make_campaigns)


def _make_campaigns(options: argparse.Namespace) -> dict[str, object]:
    wanted = campaigns.Shape(
        rows=options.rows,
        users=options.users,
        messages=options.messages,
        campaigns=options.campaigns,
        empty=options.empty,
        zipf=options.zipf,
        message_characters=options.message_characters,
    )
    return campaigns.main(options.out, wanted, options.seed, dirty=options.dirty)


def _add_music(command: argparse.ArgumentParser) -> None:
    command.add_argument("--songs", type=int, default=40)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(make=_make_music)


def _make_music(options: argparse.Namespace) -> dict[str, object]:
    return music.main(options.out, options.songs, options.seed)


def _add_reading(command: argparse.ArgumentParser) -> None:
    command.add_argument("--events", type=int, default=2_000)
    command.add_argument("--users", type=int, default=40)
    command.add_argument("--contents", type=int, default=60)
    command.add_argument("--days", type=int, default=20)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(make=_make_reading)


def _make_reading(options: argparse.Namespace) -> dict[str, object]:
    return reading.main(
        options.out,
        seed=options.seed,
        users=options.users,
        contents=options.contents,
        events=options.events,
        days=options.days,
    )


def _add_domains(command: argparse.ArgumentParser) -> None:
    command.add_argument("--domains", type=int, default=60)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(make=_make_domains)


def _make_domains(options: argparse.Namespace) -> dict[str, object]:
    return domains.main(options.out, options.domains, options.seed)


def _add_images(command: argparse.ArgumentParser) -> None:
    command.add_argument("--products", type=int, default=300)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--out", type=Path, required=True)
    command.set_defaults(make=_make_images)


def _make_images(options: argparse.Namespace) -> dict[str, object]:
    return images.main(options.out, options.products, options.seed)


if __name__ == "__main__":
    main()
