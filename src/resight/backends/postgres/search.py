"""Searches in PostgreSQL: the index finds candidates, which are compared exactly."""

from typing import Any

import numpy as np
import psycopg

from resight.backends.postgres import sql as statements
from resight.backends.remote_base import RemoteState
from resight.backends.store import Filter
from resight.ranking.exact import Neighbors, Query

MOST_APPROXIMATE = 1000
"""Neighbors that pgvector's index is asked for at most; for more, all photos are compared."""
CANDIDATES = 4
"""The index is asked for so many times the neighbors wanted, which are then compared exactly."""
MOST_SCANNED = 200_000
"""Photos that the index may pass by before it has found enough that a filter lets through."""


def nearest(
    connection: psycopg.Connection[Any],
    kept: RemoteState[int],
    query: Query,
    k: int,
    where: Filter | None,
) -> Neighbors:
    """The k nearest photos to one query, by the index where there is one."""
    local = kept.layout.local and query.local is not None
    filtered, values = statements.condition(where)
    candidates = CANDIDATES * k
    values |= {"global": np.asarray(query.global_, np.float32), "k": k, "candidates": candidates}
    if local:
        values["local"] = np.asarray(query.local, np.float32)
    found: list[Any] = []
    if k <= MOST_APPROXIMATE and _begin_search(connection, kept, candidates):
        by_index = statements.nearest(
            kept.key, kept.layout, kept.config, local=local, filtered=filtered
        )
        found = connection.execute(by_index, values).fetchall()
    if len(found) < k:  # no index, or one that did not reach as many
        connection.execute("SET LOCAL enable_indexscan = off; SET LOCAL enable_seqscan = on")
        of_all = statements.nearest_of_all(kept.key, kept.layout, local=local, filtered=filtered)
        found = connection.execute(of_all, values).fetchall()
    ids, distances = (np.array([row[i] for row in found]) for i in (0, 1))
    return Neighbors(ids.astype(np.int64), distances.astype(np.float32))


def _begin_search(
    connection: psycopg.Connection[Any], kept: RemoteState[int], candidates: int
) -> bool:
    """Set how hard the index is searched; whether there is one."""
    effort = min(MOST_APPROXIMATE, max(kept.config.search_effort, candidates))
    # Left alone, the planner reads all of a table of 10,000 photos, which takes twice as long.
    row = connection.execute(
        "SELECT to_regclass(%s), set_config('hnsw.ef_search', %s, true), "
        "set_config('enable_indexscan', 'on', true), set_config('enable_seqscan', 'off', true), "
        "set_config('hnsw.iterative_scan', 'relaxed_order', true), "
        "set_config('hnsw.max_scan_tuples', %s, true)",
        (
            f"resight.{statements.index_name(kept.key, 'global')}",
            str(effort),
            str(MOST_SCANNED),
        ),
    ).fetchone()
    return row is not None and row[0] is not None
