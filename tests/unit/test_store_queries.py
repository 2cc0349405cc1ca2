"""The named SQL: how it is parsed, and that each query is described, used, valid and led by an index."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from master.store import queries
from master.store.queries import SQL, migrations, parse

STORE = Path(queries.__file__).parent

WHOLE_TABLES = {"meta", "stops", "minions", "tokens", "gone", "check_tables", "drop_job_stops", "secrets"}
"""Queries that may read a whole table: it is small. Besides these, none may."""

SORTING = {"count_states", "open_pairs"}
"""Queries that sort the pairs of one job at a time."""


@pytest.fixture
def database() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for script in migrations():
        connection.executescript(script)
    return connection


class TestParse:
    def test_names_and_statements(self) -> None:
        text = ("-- About the file.\n\n-- name: one\n-- The first.\nSELECT 1;\n\n"
                "-- name: two\n-- More\n-- lines.\nSELECT\n 2;\n")
        assert parse(text) == {"one": "SELECT 1;", "two": "SELECT\n 2;"}

    def test_a_comment_inside_stays(self) -> None:
        assert parse("-- name: one\n-- It.\nSELECT 1 -- why\n;") == {"one": "SELECT 1 -- why\n;"}

    def test_nothing_in_a_file_without_names(self) -> None:
        assert parse("-- Only words.\n") == {}

    @pytest.mark.parametrize("text", [
        "-- name: one\nSELECT 1;\n",
        "-- name: one\n--\nSELECT 1;\n",
        "-- name: one\n-- It.\n",
        "-- name: one\n-- It.\n\n-- name: two\n-- It.\nSELECT 1;\n",
        "-- name: one\n-- It.\nSELECT 1;\n-- name: one\n-- It.\nSELECT 2;\n",
    ])
    def test_refuses_what_is_not_described_empty_or_double(self, text: str) -> None:
        with pytest.raises(ValueError, match="the query one"):
            parse(text)


class TestHouse:
    def test_each_query_is_used_and_each_name_exists(self) -> None:
        code = "\n".join(path.read_text("utf-8") for path in STORE.glob("*.py"))
        named = set(re.findall(r'"([a-z_]+)"', code))
        assert [name for name in SQL if name not in named] == []
        assert [name for name in re.findall(r'SQL\["([a-z_]+)"\]', code) if name not in SQL] == []

    def test_no_sql_in_python(self) -> None:
        for path in STORE.glob("*.py"):
            found = re.findall(r'"\s*(?:SELECT|INSERT|UPDATE|DELETE|PRAGMA|CREATE|BEGIN)\b', path.read_text("utf-8"))
            assert found == [], path

    def test_each_migration_is_a_transaction_with_its_number_last(self) -> None:
        for number, script in enumerate(migrations(), 1):
            statements = [line for line in script.splitlines() if line and not line.startswith("--")]
            assert statements[0] == "BEGIN IMMEDIATE;"
            assert statements[-2:] == [f"PRAGMA user_version = {number};", "COMMIT;"]

    def test_each_statement_fits_the_tables(self, database: sqlite3.Connection) -> None:
        for name, sql in SQL.items():
            for statement in filter(str.strip, sql.split(";")):
                assert plan(database, statement) is not None, name


def plan(database: sqlite3.Connection, sql: str) -> list[str]:
    """How SQLite would run it. Raises sqlite3.Error when it cannot."""
    numbered = [int(number) for number in re.findall(r"\?([0-9]+)", sql)]
    slots = max(numbered) if numbered else sql.count("?")
    given: dict[str, None] | list[None] = dict.fromkeys(re.findall(r":([a-z]+)", sql)) or [None] * slots
    return [row[3] for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", given)]


def test_no_query_reads_a_big_table_whole(database: sqlite3.Connection) -> None:
    """With a million returns stored, one that did would take seconds (DESIGN 12)."""
    for name in SQL.keys() - WHOLE_TABLES:
        steps = plan(database, SQL[name]) if ";" not in SQL[name].rstrip(";") else []
        for step in steps:
            assert not re.match(r"SCAN (?!CONSTANT)\w+$", step), (name, step)
            assert "TEMP B-TREE" not in step or name in SORTING, (name, step)


def test_a_list_is_read_in_the_order_of_its_index(database: sqlite3.Connection) -> None:
    for name in [name for name in SQL if name.startswith("list_")]:
        steps = plan(database, SQL[name])
        assert any("USING" in step for step in steps), (name, steps)
        assert not any("ORDER BY" in step and "TEMP" in step for step in steps), (name, steps)
