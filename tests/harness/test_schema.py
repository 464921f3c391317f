"""The ledger's file: what is opened to look at it is closed again."""

import sqlite3

import pytest

from keeprate.harness.errors import UsageError
from keeprate.harness.ledger import schema


@pytest.fixture
def opened(monkeypatch):
    """Every connection that is made; none of them can be copied."""
    connections, connect = [], sqlite3.connect

    def remember(*arguments, **options):
        connections.append(connect(*arguments, **options | {"factory": Broken}))
        return connections[-1]

    monkeypatch.setattr(schema.sqlite3, "connect", remember)
    return connections


class Broken(schema.Database):
    def backup(self, target, **options):
        raise sqlite3.OperationalError("disk I/O error")


def is_closed(connection):
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


def test_the_database_that_tells_the_schema_is_closed(opened):
    assert schema.expected()
    assert [is_closed(connection) for connection in opened] == [True]


def test_a_ledger_that_can_not_be_copied_leaves_nothing_open(opened, tmp_path):
    path = tmp_path / "night.db"
    schema.connect(path, create=True).close()
    opened.clear()
    with pytest.raises(UsageError, match="disk I/O error"):
        schema.connect(path)
    assert [is_closed(connection) for connection in opened] == [True, True]
