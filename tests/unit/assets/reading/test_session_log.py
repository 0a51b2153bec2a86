"""Lines of threads, passed on by another one."""

from __future__ import annotations

import logging

import pytest

from assets.reading.session import log as session_log
from assets.reading.session.log import SessionLog


class Database(logging.Logger):
    """A log that can be out of reach."""

    def __init__(self):
        super().__init__("database")
        self.lines, self.away = [], False

    def log(self, level, msg, *args, **_more):
        if self.away:
            raise ConnectionError("no route to the database")
        self.lines.append((level, msg % args))

    def warning(self, msg, *args, **_more):
        self.log(logging.WARNING, msg, *args)


def test_lines_are_passed_on_once_in_order_with_their_levels():
    lines, database = SessionLog(), Database()
    lines.logger.debug("nobody wants to know")
    lines.logger.info("merged rows=%d", 7)
    lines.logger.warning("100%% %s", "slow")
    lines.pass_on(database)
    lines.pass_on(database)
    assert database.lines == [(logging.INFO, "merged rows=7"), (logging.WARNING, "100% slow")]


def test_the_traceback_is_part_of_the_line():
    lines, database = SessionLog(), Database()
    try:
        {}["table"]
    except KeyError:
        lines.logger.exception("append failed")
    lines.pass_on(database)
    assert database.lines[0][1].startswith("append failed\nTraceback")
    assert database.lines[0][1].endswith("KeyError: 'table'")


def test_lines_wait_while_the_database_is_away():
    lines, database = SessionLog(), Database()
    lines.logger.info("one")
    database.away = True
    with pytest.raises(ConnectionError):
        lines.pass_on(database)
    lines.logger.info("two")
    database.away = False
    lines.pass_on(database)
    assert [line for _, line in database.lines] == ["one", "two"]


def test_memory_is_bounded_and_what_is_left_out_is_said(monkeypatch):
    monkeypatch.setattr(session_log, "MOST_LINES", 3)
    lines, database = SessionLog(), Database()
    for number in range(5):
        lines.logger.info("%d", number)
    lines.pass_on(database)
    assert [line for _, line in database.lines] == ["2 older lines were left out", "2", "3", "4"]
