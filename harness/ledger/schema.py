"""The ledger's file: opened, made from the schema in `schema.sql`, and checked, for it may come from anywhere."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from keeprate.harness import interrupts
from keeprate.harness.errors import UsageError
from keeprate.harness.files import beginning, kind

SCHEMA = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
VERSION = 3  # of the schema; one that was released is never changed
ADDED = {"code": 2, "cause": 2, "asked": 3}  # tables that earlier versions lack, by the version that brought them
APPLICATION = 0x6B656570  # "keep", in the file's header
MAGIC = b"SQLite format 3\x00"
LONGEST = 16 << 20  # bytes of any one value
LARGEST = 1 << 30  # bytes of a file that is copied into memory: ten years of nights
PATIENCE = 60.0  # seconds that a writer waits for another


class UnwritableError(UsageError):
    """The ledger takes no more: its disk is full, or somebody holds it."""


class Database(sqlite3.Connection):
    """A connection that writes a row at a time."""

    def row(self, table: str, more: Mapping[str, Any] | None = None, **key: Any) -> int:
        """The id of the row of `table` that has these values; inserted, with `more`, if there is none."""
        where = " AND ".join(f"{name} = :{name}" for name in key)
        found = self.execute(f"SELECT id FROM {table} WHERE {where}", key).fetchone()  # noqa: S608 - names of ours
        return int(found["id"]) if found else self.insert(table, **key, **(more or {}))

    def insert(self, table: str, **values: Any) -> int:
        """The id of a new row of `table`."""
        names, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        row = self.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", values).lastrowid  # noqa: S608 - ours
        assert row is not None
        return row

    def change(self, table: str, row: int, **values: Any) -> None:
        """Puts values in the place of those that a row of `table` has."""
        changes = ", ".join(f"{name} = :{name}" for name in values)
        self.execute(f"UPDATE {table} SET {changes} WHERE id = :id", {**values, "id": row})  # noqa: S608 - names of ours


def connect(path: Path, *, create: bool = False, write: bool = False) -> Database:
    """An open ledger, checked whole; made if need be, or opened, if it is to be written to; else a copy in memory.

    Raises:
        UsageError: there is none, it is no ledger, damaged, newer than this keeprate reads, or holds what none does.
        UnwritableError: another program holds it, and goes on to.
    """
    found = kind(path)
    if found in ("folder", "device") or (found == "nothing" and not create):
        raise UsageError(f"no ledger '{path}'" + ("" if found == "nothing" else f": it is a {found}"))
    start = beginning(path, len(MAGIC)) if found == "file" else b""
    if start not in (b"", MAGIC):
        raise UsageError(f"{path}: not a keeprate ledger. Nothing was changed")
    try:
        connection = _opened(path, "rwc" if create else "rw") if create or write else _read(path)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
            empty = create and (not start or _is_empty(connection))
            if not empty:
                _check(connection, path)
            if create or write:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing; a power cut may
            if empty or _pragma(connection, "user_version") < VERSION:
                _fill(connection)  # another run may have filled it by now
                _check(connection, path)
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:  # an interrupt as well
            connection.close()
            raise
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise UnwritableError(f"{path}: another program holds the ledger: {error}. Wait until it ends") from None
        raise UsageError(f"{path}: the ledger can't be read: {error}") from None
    return connection


def _opened(path: Path, mode: str) -> Database:
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=PATIENCE, factory=Database)


def _read(path: Path) -> Database:
    """What the file at `path` and its log hold, in memory; by a copy of both where nothing may be written beside it."""
    try:
        return _copied(_opened(path, "rw"), path)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("-wal", ""):  # what comes into the log meanwhile is not in the file before it is in the log
            part = path.with_name(path.name + ending)
            if part.exists():
                if part.stat().st_size > LARGEST:
                    raise UsageError(f"{part}: larger than any ledger ({LARGEST >> 20:,} MiB). Nothing was changed")
                _copy_bytes(part, Path(folder) / f"ledger.db{ending}")
        return _copied(_opened(Path(folder) / "ledger.db", "rw"), path)


def _copy_bytes(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
    except OSError as error:
        raise UsageError(f"{source}: it can't be read: {error.strerror}") from None


def _copied(connection: Database, path: Path) -> Database:
    """The same in memory: of a file that it can't write to, SQLite would leave the constraints unchecked."""
    with closing(connection):
        pages, size = (_pragma(connection, name) for name in ("page_count", "page_size"))
        if pages * size > LARGEST:
            raise UsageError(f"{path}: larger than any ledger ({LARGEST >> 20:,} MiB). Nothing was changed")
        memory = sqlite3.connect(":memory:", isolation_level=None, factory=Database)
        try:
            connection.backup(memory)
            memory.execute("PRAGMA temp_store = MEMORY")
        except BaseException:  # an interrupt as well
            memory.close()
            raise
    return memory


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _is_empty(connection: sqlite3.Connection) -> bool:
    """True for a database of nobody, with nothing in it."""
    marks = _pragma(connection, "application_id") or _pragma(connection, "user_version")
    return not marks and not _objects(connection)


def _fill(connection: sqlite3.Connection) -> None:
    """Makes what is missing, in one transaction, which `executescript` would end before it begins."""
    begin_alone(connection)
    for statement in SCHEMA.split(";\n\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute("COMMIT")


def begin_alone(connection: sqlite3.Connection) -> None:
    """Begins to write once nobody else does; SQLite by itself would wait without a look at the flag of `interrupts`.

    Raises:
        sqlite3.OperationalError: somebody has written for too long.
        KeyboardInterrupt, Terminated: a signal has come meanwhile.
    """
    deadline = time.monotonic() + PATIENCE
    connection.execute(f"PRAGMA busy_timeout = {1000 * interrupts.LOOK:.0f}")
    while not connection.in_transaction:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            interrupts.check()
    connection.execute(f"PRAGMA busy_timeout = {1000 * PATIENCE:.0f}")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuses a file that no keeprate has written, so that what is read later need not be doubted.

    SQLite itself then checks the types and the ranges of all values, for they are part of the schema.
    """
    version = _pragma(connection, "user_version")
    if _pragma(connection, "application_id") != APPLICATION or version < 1:
        raise UsageError(f"{path}: not a keeprate ledger. Nothing was changed")
    if version > VERSION:
        raise UsageError(
            f"{path}: schema {version} is newer than this keeprate reads ({VERSION}). Nothing was changed. "
            "Upgrade keeprate, or start another ledger"
        )
    if extra := _objects(connection) ^ expected(version):
        kinds = ", ".join(sorted(f"{kind} {name!r}" for kind, name, _ in extra))
        raise UsageError(f"{path}: not the schema of a ledger, see {kinds}. Nothing was changed")
    damage = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if damage != "ok":
        raise UsageError(f"{path}: the ledger is damaged: {damage}. Nothing was changed")
    if stray := connection.execute("PRAGMA foreign_key_check").fetchone():
        raise UsageError(f"{path}: the ledger is damaged: a row of {stray[0]} belongs to no {stray[2]}")


def expected(version: int = VERSION) -> set[tuple[str, str, str | None]]:
    """Everything that a version of the schema defines."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        return {each for each in _objects(connection) if ADDED.get(each[1], 1) <= version}


def _objects(connection: sqlite3.Connection) -> set[tuple[str, str, str | None]]:
    return {tuple(row) for row in connection.execute("SELECT type, name, sql FROM sqlite_schema")}
