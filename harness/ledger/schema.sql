-- Who is judged, by which suite. A version begins with no evidence and a whole error budget.
CREATE TABLE IF NOT EXISTS subject (
    id INTEGER PRIMARY KEY,
    suite TEXT NOT NULL CHECK (length(suite) BETWEEN 1 AND 500),
    role TEXT NOT NULL CHECK (role IN ('backend', 'reference')),
    name TEXT NOT NULL CHECK (length(name) <= 500),
    version TEXT NOT NULL CHECK (length(version) <= 500),
    device TEXT NOT NULL CHECK (length(device) <= 500),
    offer TEXT NOT NULL CHECK (length(offer) <= 100000),  -- JSON: its dtypes, and the names that it has
    UNIQUE (suite, role, name, version, device)
) STRICT;

-- One command that added evidence, how it was asked, and where it ran. Its seeds are its own: no other run of these
-- subjects has any of them.
CREATE TABLE IF NOT EXISTS run (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE CHECK (length(key) = 32),  -- random: the same run in two ledgers is known by it
    backend INTEGER NOT NULL REFERENCES subject,
    reference INTEGER REFERENCES subject,
    kind TEXT NOT NULL CHECK (kind IN ('gate', 'nightly')),
    profile TEXT NOT NULL CHECK (profile IN ('smoke', 'quick', 'gate', 'deep')),
    alpha REAL NOT NULL CHECK (alpha > 0 AND alpha < 1),
    named TEXT NOT NULL CHECK (length(named) <= 500),  -- what --backend said
    workers INTEGER NOT NULL CHECK (workers > 0),
    night TEXT NOT NULL CHECK (night GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]'),  -- UTC
    seconds REAL NOT NULL CHECK (seconds >= 0 AND seconds < 1e9),
    first_seed INTEGER NOT NULL CHECK (first_seed >= 0),
    seeds INTEGER NOT NULL CHECK (seeds > 0),
    cases INTEGER NOT NULL CHECK (cases >= 0),  -- passes over a case, of the backend and of the reference
    draws INTEGER NOT NULL CHECK (draws BETWEEN 0 AND 1000000000000000000),  -- of the backend
    errors INTEGER NOT NULL CHECK (errors >= 0),
    apart INTEGER NOT NULL CHECK (apart IN (0, 1)),  -- 1 while `recent` has all that it added
    host TEXT NOT NULL CHECK (length(host) <= 500),
    cpu TEXT NOT NULL CHECK (length(cpu) <= 500),
    platform TEXT NOT NULL CHECK (length(platform) <= 500),
    keeprate TEXT NOT NULL CHECK (length(keeprate) <= 500),
    python TEXT NOT NULL CHECK (length(python) <= 500),
    numpy TEXT NOT NULL CHECK (length(numpy) <= 500),
    scipy TEXT NOT NULL CHECK (length(scipy) <= 500)
) STRICT;

-- What one subject is held to, as it is counted: evidence adds within one of these alone. It knows nothing of the rest
-- of the plan, nor of what share of which error budget it has.
CREATE TABLE IF NOT EXISTS promise (
    id INTEGER PRIMARY KEY,
    subject INTEGER NOT NULL REFERENCES subject,
    finding TEXT NOT NULL CHECK (length(finding) BETWEEN 11 AND 500),  -- its public id
    digest TEXT CHECK (length(digest) = 32),  -- of that and the ids of its cases; NULL once other cells are counted
    peak REAL CHECK (peak BETWEEN -1e15 AND 1e15),  -- the largest log10 e that it had at the end of a run
    UNIQUE (subject, digest)
) STRICT;

-- Cells, probabilities, labels: as JSON.
CREATE TABLE IF NOT EXISTS form (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- What one case has shown of one promise in all runs, and why its latest pass showed nothing, if it didn't.
CREATE TABLE IF NOT EXISTS look (
    id INTEGER PRIMARY KEY,
    promise INTEGER NOT NULL REFERENCES promise,
    case_id TEXT NOT NULL CHECK (length(case_id) BETWEEN 11 AND 500),
    passes INTEGER NOT NULL CHECK (passes > 0),  -- how often the case was gone through
    form INTEGER REFERENCES form,
    total BLOB,  -- compressed JSON: the amounts of all passes
    trouble TEXT CHECK (trouble IN ('error', 'unreadable', 'not_offered')),
    reason TEXT CHECK (length(reason) BETWEEN 1 AND 10000),
    error_kind TEXT NOT NULL CHECK (length(error_kind) <= 500),  -- empty unless an error has one
    UNIQUE (promise, case_id),
    CHECK ((form IS NULL) = (total IS NULL) AND (trouble IS NULL) = (reason IS NULL)),
    CHECK (total IS NOT NULL OR trouble IS NOT NULL)
) STRICT;

-- The same of each of the latest runs alone, so that what two ledgers both have can be counted once.
CREATE TABLE IF NOT EXISTS recent (
    run INTEGER NOT NULL REFERENCES run,
    look INTEGER NOT NULL REFERENCES look,
    passes INTEGER NOT NULL CHECK (passes > 0),
    amounts BLOB,
    PRIMARY KEY (run, look)
) STRICT, WITHOUT ROWID;

-- Where a promise stood at the end of a night, all runs so far together.
CREATE TABLE IF NOT EXISTS night (
    promise INTEGER NOT NULL REFERENCES promise,
    night TEXT NOT NULL CHECK (night GLOB '[0-9][0-9][0-9][0-9]-[01][0-9]-[0-3][0-9]'),
    status TEXT NOT NULL CHECK (status IN ('kept', 'broken', 'not_offered', 'unreadable', 'error')),
    n INTEGER CHECK (n BETWEEN 0 AND 1000000000000000000),
    log10_e REAL CHECK (log10_e BETWEEN -1e15 AND 1e15),
    estimate REAL CHECK (estimate BETWEEN -1e300 AND 1e300),
    PRIMARY KEY (promise, night)
) STRICT, WITHOUT ROWID;

-- What code a run judged. (Since schema 2.)
CREATE TABLE IF NOT EXISTS code (
    run INTEGER PRIMARY KEY REFERENCES run,
    digest TEXT NOT NULL CHECK (length(digest) = 32)  -- of the backend's file, and of its author's that it imports
) STRICT;

-- What was found to lie behind what broke, when that was last tested. (Since schema 2.)
CREATE TABLE IF NOT EXISTS cause (
    subject INTEGER NOT NULL REFERENCES subject,
    place INTEGER NOT NULL CHECK (place BETWEEN 0 AND 199),  -- that which explains most comes first
    text TEXT NOT NULL CHECK (length(text) <= 1000000),  -- JSON, as in a verdict
    PRIMARY KEY (subject, place)
) STRICT, WITHOUT ROWID;

-- What a broken promise looks like: rows of a mask of the backend, and of the reference, as JSON.
CREATE TABLE IF NOT EXISTS picture (
    promise INTEGER PRIMARY KEY REFERENCES promise,
    text TEXT NOT NULL CHECK (length(text) <= 20000)
) STRICT;

-- What a run was asked to look at, where that isn't the whole plan. A run of an earlier schema has no row, and counts as
-- one that was asked for all. (Since schema 3.)
CREATE TABLE IF NOT EXISTS asked (
    run INTEGER PRIMARY KEY REFERENCES run,
    ops TEXT NOT NULL CHECK (length(ops) <= 100000),  -- separated by commas; empty for all
    dtypes TEXT NOT NULL CHECK (length(dtypes) <= 10000)
) STRICT;
