"""The ledger's file: its schema as text, how an older one is brought up to date, and how a foreign one is checked."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from keeprate.harness import interrupts
from keeprate.harness.errors import UsageError
from keeprate.harness.files import beginning, kind

APPLICATION = 0x6B656570  # "keep", in the file's header
MAGIC = b"SQLite format 3\x00"
LONGEST = 16 << 20  # bytes of any one value
LARGEST = 1 << 30  # bytes of a file that is copied into memory: ten years of nights
PATIENCE = 60.0  # seconds that a writer waits for another

# Version n of the schema is what the first n of these make, one after another; a released one is never changed.
# Version 1: the first. Version 2: passes of the latest runs, one by one; pictures.
MIGRATIONS = (
    """
    -- What is judged, and by which shares of the error budget: evidence adds within one plan alone.
    CREATE TABLE plan (
        id INTEGER PRIMARY KEY,
        suite TEXT NOT NULL CHECK (length(suite) BETWEEN 1 AND 500),
        profile TEXT NOT NULL CHECK (profile IN ('quick', 'gate', 'deep')),
        alpha REAL NOT NULL CHECK (alpha > 0 AND alpha < 1),
        digest TEXT NOT NULL CHECK (length(digest) = 32),  -- of every case and every share
        UNIQUE (suite, profile, alpha, digest)
    ) STRICT;

    -- Who is judged. A version begins with no evidence and a whole error budget.
    CREATE TABLE subject (
        id INTEGER PRIMARY KEY,
        plan INTEGER NOT NULL REFERENCES plan,
        role TEXT NOT NULL CHECK (role IN ('backend', 'reference')),
        name TEXT NOT NULL CHECK (length(name) <= 500),
        version TEXT NOT NULL CHECK (length(version) <= 500),
        device TEXT NOT NULL CHECK (length(device) <= 500),
        offer TEXT NOT NULL CHECK (length(offer) <= 100000),  -- JSON: its dtypes, and the names that it has
        UNIQUE (plan, role, name, version, device)
    ) STRICT;

    -- Where it ran.
    CREATE TABLE environment (
        id INTEGER PRIMARY KEY,
        keeprate TEXT NOT NULL CHECK (length(keeprate) <= 500),
        python TEXT NOT NULL CHECK (length(python) <= 500),
        numpy TEXT NOT NULL CHECK (length(numpy) <= 500),
        scipy TEXT NOT NULL CHECK (length(scipy) <= 500),
        platform TEXT NOT NULL CHECK (length(platform) <= 500),
        cpu TEXT NOT NULL CHECK (length(cpu) <= 500),
        UNIQUE (keeprate, python, numpy, scipy, platform, cpu)
    ) STRICT;

    -- One command that added evidence. Its seeds are its own: no other run of this subject has any of them.
    CREATE TABLE run (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE CHECK (length(key) = 32),  -- random: the same run in two ledgers is known by it
        backend INTEGER NOT NULL REFERENCES subject,
        reference INTEGER REFERENCES subject,
        environment INTEGER NOT NULL REFERENCES environment,
        kind TEXT NOT NULL CHECK (kind IN ('gate', 'nightly')),
        named TEXT NOT NULL CHECK (length(named) <= 500),  -- what --backend said
        host TEXT NOT NULL CHECK (length(host) <= 500),
        workers INTEGER NOT NULL CHECK (workers > 0),
        night TEXT NOT NULL CHECK (night GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]'),  -- UTC
        seconds REAL NOT NULL CHECK (seconds >= 0 AND seconds < 1e9),
        first_seed INTEGER NOT NULL CHECK (first_seed >= 0),
        seeds INTEGER NOT NULL CHECK (seeds > 0),
        cases INTEGER NOT NULL CHECK (cases >= 0),  -- passes over a case, of the backend and of the reference
        draws INTEGER NOT NULL CHECK (draws BETWEEN 0 AND 1000000000000000),  -- of the backend
        errors INTEGER NOT NULL CHECK (errors >= 0)
    ) STRICT;

    CREATE TABLE finding (
        id INTEGER PRIMARY KEY,
        text TEXT NOT NULL UNIQUE CHECK (length(text) BETWEEN 11 AND 500)  -- its public id
    ) STRICT;

    -- How often a case was gone through.
    CREATE TABLE pass (
        subject INTEGER NOT NULL REFERENCES subject,
        "case" TEXT NOT NULL CHECK (length("case") BETWEEN 11 AND 500),
        passes INTEGER NOT NULL CHECK (passes > 0),
        PRIMARY KEY (subject, "case")
    ) STRICT, WITHOUT ROWID;

    -- What one case says of one finding: what the amounts below are amounts of.
    CREATE TABLE look (
        id INTEGER PRIMARY KEY,
        subject INTEGER NOT NULL REFERENCES subject,
        "case" TEXT NOT NULL CHECK (length("case") BETWEEN 11 AND 500),
        finding INTEGER NOT NULL REFERENCES finding,
        form INTEGER NOT NULL REFERENCES form,
        total BLOB NOT NULL,  -- compressed JSON: the amounts of all runs
        UNIQUE (subject, "case", finding)
    ) STRICT;

    -- Cells, probabilities, labels: as JSON.
    CREATE TABLE form (
        id INTEGER PRIMARY KEY,
        text TEXT NOT NULL UNIQUE
    ) STRICT;

    -- The amounts of the latest runs, each on its own.
    CREATE TABLE recent (
        run INTEGER NOT NULL REFERENCES run,
        look INTEGER NOT NULL REFERENCES look,
        amounts BLOB NOT NULL,
        PRIMARY KEY (run, look)
    ) STRICT, WITHOUT ROWID;

    -- Why the latest pass over a case gave no evidence: for one finding, or (finding 0) for any.
    CREATE TABLE remark (
        subject INTEGER NOT NULL REFERENCES subject,
        "case" TEXT NOT NULL CHECK (length("case") BETWEEN 11 AND 500),
        finding INTEGER NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('error', 'given_up', 'unreadable', 'not_offered')),
        reason TEXT NOT NULL CHECK (length(reason) BETWEEN 1 AND 10000),
        PRIMARY KEY (subject, "case", finding)
    ) STRICT, WITHOUT ROWID;

    -- Where a finding stood at the end of a night, all runs so far together.
    CREATE TABLE night (
        subject INTEGER NOT NULL REFERENCES subject,
        finding INTEGER NOT NULL REFERENCES finding,
        night TEXT NOT NULL CHECK (night GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]'),
        status TEXT NOT NULL CHECK (status IN ('kept', 'broken', 'not_offered', 'unreadable', 'error')),
        n INTEGER CHECK (n BETWEEN 0 AND 1000000000000000000),
        log10_e REAL CHECK (log10_e BETWEEN -1e15 AND 1e15),
        estimate REAL CHECK (estimate BETWEEN -1e300 AND 1e300),
        PRIMARY KEY (subject, finding, night)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- How often each of the latest runs went through a case.
    CREATE TABLE recent_pass (
        run INTEGER NOT NULL REFERENCES run,
        subject INTEGER NOT NULL REFERENCES subject,
        "case" TEXT NOT NULL CHECK (length("case") BETWEEN 11 AND 500),
        passes INTEGER NOT NULL CHECK (passes > 0),
        PRIMARY KEY (run, subject, "case")
    ) STRICT, WITHOUT ROWID;

    -- Once at least, where version 1 didn't count.
    INSERT INTO recent_pass SELECT DISTINCT run, subject, "case", 1 FROM recent JOIN look ON look.id = look;

    -- What a broken finding looks like: rows of a mask of the backend, and of the reference, as JSON.
    CREATE TABLE picture (
        subject INTEGER NOT NULL REFERENCES subject,
        finding INTEGER NOT NULL REFERENCES finding,
        text TEXT NOT NULL CHECK (length(text) <= 20000),
        PRIMARY KEY (subject, finding)
    ) STRICT, WITHOUT ROWID;
    """,
)


def connect(path: Path, *, create: bool = False, write: bool = False) -> sqlite3.Connection:
    """An open ledger, checked whole; brought up to date, or made, if it is to be written to; else a copy in memory.

    Raises:
        UsageError: there is none, it is no ledger, damaged, newer than this keeprate reads, or holds what none does.
    """
    found = kind(path)
    if found in ("folder", "device") or (found == "nothing" and not create):
        raise UsageError(f"no ledger '{path}'" + ("" if found == "nothing" else f": it is a {found}"))
    start = beginning(path, len(MAGIC)) if found == "file" else b""
    fresh = not start
    if start not in (b"", MAGIC):
        raise UsageError(f"{path}: it is not a ledger of keeprate. Nothing was changed")
    uri = f"{path.resolve().as_uri()}?mode={'rwc' if create else 'rw'}"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=PATIENCE)
        if not (create or write):
            connection = _copied(connection, path)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
            filled = not create or not (fresh or _is_empty(connection))  # another run may be about to fill it
            if filled:
                _check(connection, path)
            if create or write:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")  # a killed process loses nothing; a power cut may
            _migrate(connection)
            if not filled:
                _check(connection, path)
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:  # an interrupt as well
            connection.close()
            raise
    except sqlite3.Error as error:
        raise UsageError(f"{path}: the ledger can't be read: {error}") from None
    return connection


def _copied(connection: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """The same in memory: of a file that it can't write to, SQLite would leave the constraints unchecked."""
    with closing(connection):
        pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        if pages * size > LARGEST:
            raise UsageError(f"{path}: larger than any ledger ({LARGEST >> 20:,} MiB). Nothing was changed")
        memory = sqlite3.connect(":memory:", isolation_level=None)
        try:
            connection.backup(memory)
            memory.execute("PRAGMA temp_store = MEMORY")
        except BaseException:  # an interrupt as well
            memory.close()
            raise
    return memory


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is_empty(connection: sqlite3.Connection) -> bool:
    """True for a database of nobody, with nothing in it."""
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    return not mark and not _version(connection) and not _objects(connection)


def _recognise(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection)
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION or version < 1:
        raise UsageError(f"{path}: it is not a ledger of keeprate. Nothing was changed")
    if version > len(MIGRATIONS):
        raise UsageError(
            f"{path}: schema {version} is newer than this keeprate reads ({len(MIGRATIONS)}). Nothing was changed. "
            "Upgrade keeprate, or start another ledger"
        )


def _migrate(connection: sqlite3.Connection) -> None:
    """Makes what is missing, in one transaction."""
    begin_alone(connection)
    for migration in MIGRATIONS[_version(connection) :]:
        for statement in _statements(migration):
            connection.execute(statement)
    if _version(connection) < len(MIGRATIONS):
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
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


def _statements(script: str) -> list[str]:
    """One by one: `executescript` would commit before it begins."""
    found, rest = [], ""
    for line in script.splitlines():
        rest += line + "\n"
        if sqlite3.complete_statement(rest):
            found.append(rest)
            rest = ""
    return found


def _check(connection: sqlite3.Connection, path: Path) -> None:
    """Refuses a file that no keeprate has written, so that what is read later need not be doubted.

    SQLite itself then checks the types and the ranges of all values, for they are part of the schema.
    """
    _recognise(connection, path)
    extra = _objects(connection) ^ expected(_version(connection))
    if extra:
        kinds = ", ".join(sorted(f"{kind} {name!r}" for kind, name, _ in extra))
        raise UsageError(f"{path}: not the schema of a ledger, see {kinds}. Nothing was changed")
    damage = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if damage != "ok":
        raise UsageError(f"{path}: the ledger is damaged: {damage}. Nothing was changed")
    if stray := connection.execute("PRAGMA foreign_key_check").fetchone():
        raise UsageError(f"{path}: the ledger is damaged: a row of {stray[0]} belongs to no {stray[2]}")


def expected(version: int) -> set[tuple[str, str, str | None]]:
    """Everything that the schema of `version` defines."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for migration in MIGRATIONS[:version]:
            connection.executescript(migration)
        return _objects(connection)


def _objects(connection: sqlite3.Connection) -> set[tuple[str, str, str | None]]:
    return set(connection.execute("SELECT type, name, sql FROM sqlite_schema"))
