"""The tables of Resight in a PostgreSQL database, and the statements over them.

One schema, `resight`: the collections and what they were made with, and for each collection a table
of its photos, because the number of values of a descriptor is a column's. Photos and descriptors
stand in one row, so that a search and its filters are one statement.
"""

from typing import LiteralString

from psycopg import sql

from resight.backends.store import SIDES, Filter, Layout
from resight.config import BackendConfig
from resight.errors import UsageError

MIGRATIONS: tuple[LiteralString, ...] = (
    """
    CREATE TABLE resight.collections (
        id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text NOT NULL UNIQUE,
        identity jsonb NOT NULL,       -- configuration, fingerprint, how things were fitted
        layout jsonb NOT NULL,         -- values of a descriptor, distance
        config jsonb NOT NULL,         -- of the index and of searches
        created timestamptz NOT NULL DEFAULT now()
    );
    CREATE TABLE resight.fitted (
        collection int NOT NULL REFERENCES resight.collections ON DELETE CASCADE,
        name text NOT NULL,            -- selection, learned or network
        data bytea NOT NULL,
        PRIMARY KEY (collection, name)
    );
    """,
)
"""What brings the schema from one version to the next; the number of them is its version."""

OLDEST_SERVER = 140000
OLDEST_PGVECTOR = (0, 8)
"""The first with index scans that go on until a filter has let enough photos through."""
MOST_VALUES, MOST_VALUES_HALF = 2000, 4000
"""Values that pgvector's HNSW takes, as `vector` and as `halfvec`."""
PAGE_BYTES = 7000
"""Descriptors up to this size stay in their row's page instead of a table of their own."""
OPERATORS: dict[str, LiteralString] = {"manhattan": "<+>", "cosine": "<=>"}
OPERATOR_CLASSES = {"manhattan": "l1_ops", "cosine": "cosine_ops"}


def check_layout(shown: str, layout: Layout) -> None:
    """Refuse what pgvector could keep but not index.

    Raises:
        UsageError: it says how there can be fewer values.
    """
    if layout.dimensions > MOST_VALUES_HALF:
        raise UsageError(
            f"{shown}: pgvector indexes at most {MOST_VALUES_HALF} values, and these descriptors "
            f"have {layout.dimensions}; select fewer first (resight fit -c COLLECTION; sift-vlad "
            "has 128 times its centers)"
        )


def is_half(layout: Layout, config: BackendConfig) -> bool:
    """Whether the index holds descriptors in half precision; what it finds is compared exactly."""
    return config.half or layout.dimensions > MOST_VALUES


def photos_table(number: int) -> sql.Identifier:
    """The photos of the collection of a number."""
    return sql.Identifier("resight", f"photos_{number}")


def index_name(number: int, side: str) -> str:
    """The index of one of the descriptors."""
    return f"photos_{number}_{side}"


def create_photos(number: int, layout: Layout) -> sql.Composed:
    """The statements that make a collection's table."""
    table, vector = photos_table(number), sql.SQL(f"vector({int(layout.dimensions)})")
    sides = layout.sides
    parts = [
        sql.SQL(
            "CREATE TABLE {} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
            "path bytea NOT NULL UNIQUE, content text NOT NULL, size bigint NOT NULL, "
            "mtime_ns bigint NOT NULL, width int, height int, taken timestamp, "
            '"global" {vector} NOT NULL, "local" {vector}, '
            "whole_global bytea, whole_local bytea)"
        ).format(table, vector=vector),
        # Values of descriptors do not compress.
        sql.SQL("ALTER TABLE {} ALTER whole_global SET STORAGE EXTERNAL").format(table),
        sql.SQL("ALTER TABLE {} ALTER whole_local SET STORAGE EXTERNAL").format(table),
        sql.SQL("CREATE INDEX ON {} (content)").format(table),
        sql.SQL("CREATE INDEX ON {} (taken)").format(table),
        sql.SQL("CREATE SEQUENCE {}").format(changes(number)),
    ]
    if 4 * layout.dimensions * len(sides) <= PAGE_BYTES:
        parts += [
            sql.SQL("ALTER TABLE {} ALTER {} SET STORAGE PLAIN").format(table, sql.Identifier(side))
            for side in sides
        ]
    return sql.SQL("; ").join(parts)


def changes(number: int) -> sql.Identifier:
    """The sequence that counts a collection's changes."""
    return sql.Identifier("resight", f"changes_{number}")


def create_index(number: int, side: str, layout: Layout, config: BackendConfig) -> sql.Composed:
    """The statement that makes the index of one of the descriptors."""
    kind = "halfvec" if is_half(layout, config) else "vector"
    operators = sql.Identifier(f"{kind}_{OPERATOR_CLASSES[layout.distance]}")
    return sql.SQL(
        "CREATE INDEX IF NOT EXISTS {} ON {} USING hnsw (({}) {}) "
        "WITH (m = {}, ef_construction = {})"
    ).format(
        sql.Identifier(index_name(number, side)),
        photos_table(number),
        _indexed(side, layout, config),
        operators,
        sql.Literal(config.links),
        sql.Literal(max(config.build_effort, 2 * config.links)),
    )


def nearest(
    number: int, layout: Layout, config: BackendConfig, *, local: bool, filtered: sql.Composable
) -> sql.Composed:
    """The nearest photos by the index: id and exact distance, nearest first.

    Its parameters are `global` and `local` (descriptors), `k`, `candidates`, and the filter's.
    """
    sides = SIDES if local else SIDES[:1]
    near = sql.SQL(" UNION ").join(
        sql.SQL("(SELECT id FROM {} WHERE {} ORDER BY {} {} {} LIMIT %(candidates)s)").format(
            photos_table(number),
            filtered,
            _indexed(side, layout, config),
            sql.SQL(OPERATORS[layout.distance]),
            _asked(side, layout, config),
        )
        for side in sides
    )
    return sql.SQL(
        "WITH near AS MATERIALIZED ({}) "
        "SELECT id, {} AS distance FROM {} JOIN near USING (id) ORDER BY distance, id LIMIT %(k)s"
    ).format(near, _distance(layout, sides), photos_table(number))


def nearest_of_all(
    number: int, layout: Layout, *, local: bool, filtered: sql.Composable
) -> sql.Composed:
    """The same by comparing all photos."""
    sides = SIDES if local else SIDES[:1]
    return sql.SQL(
        "SELECT id, {} AS distance FROM {} WHERE {} ORDER BY distance, id LIMIT %(k)s"
    ).format(_distance(layout, sides), photos_table(number), filtered)


def condition(where: Filter | None) -> tuple[sql.Composable, dict[str, object]]:
    """A filter as a condition, and its parameters."""
    parts: list[sql.Composable] = [sql.SQL("true")]
    values: dict[str, object] = {}
    if where is not None and where.under is not None:
        folder = bytes(where.under)
        below = folder.rstrip(b"/") + b"/"
        # All that begins with "folder/" lies before "folder0", "0" being next to "/".
        parts.append(sql.SQL("(path = %(folder)s OR (path >= %(below)s AND path < %(beyond)s))"))
        values |= {"folder": folder, "below": below, "beyond": below[:-1] + b"0"}
    if where is not None and where.taken_from is not None:
        parts.append(sql.SQL("taken >= %(taken_from)s"))
        values["taken_from"] = where.taken_from
    if where is not None and where.taken_before is not None:
        parts.append(sql.SQL("taken < %(taken_before)s"))
        values["taken_before"] = where.taken_before
    if where is not None and where.min_side is not None:
        parts.append(sql.SQL("least(width, height) >= %(min_side)s"))
        values["min_side"] = where.min_side
    return sql.SQL(" AND ").join(parts), values


def _indexed(side: str, layout: Layout, config: BackendConfig) -> sql.Composed:
    """A descriptor as its index has it."""
    half = sql.SQL(f"::halfvec({int(layout.dimensions)})")
    return sql.SQL("{}{}").format(
        sql.Identifier(side), half if is_half(layout, config) else sql.SQL("")
    )


def _asked(side: str, layout: Layout, config: BackendConfig) -> sql.Composed:
    """A query's descriptor likewise."""
    half = sql.SQL("::halfvec" if is_half(layout, config) else "")
    return sql.SQL("{}::vector{}").format(sql.Placeholder(side), half)


def _distance(layout: Layout, sides: tuple[str, ...]) -> sql.Composed:
    """The exact distance of a photo; a zero vector is at cosine distance 1 from everything."""
    operator = sql.SQL(OPERATORS[layout.distance])
    return sql.SQL("least({})").format(
        sql.SQL(", ").join(
            sql.SQL("coalesce(nullif({} {} {}::vector, 'NaN'), 1)").format(
                sql.Identifier(side), operator, sql.Placeholder(side)
            )
            for side in sides
        )
    )
