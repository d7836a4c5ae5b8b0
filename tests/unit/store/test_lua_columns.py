"""The columns, run without Redis: lines are written and read as in a list."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lua.interpreter import Modules
from tests.lua.predicates import holds, predicates

LUA = Modules()
ROWS = 3 * 256

NAME = "metadata.k"
VALUES = st.one_of(
    st.just(""),
    st.lists(st.sampled_from(["a", "bb", "\xc3\xa9", "word", "x" * 60, "y" * 120]), min_size=1, max_size=4).map(
        " ".join
    ),
)
WRITES = st.lists(st.tuples(st.one_of(st.integers(0, 6), st.integers(0, ROWS - 1)), VALUES), max_size=30)


class Keys:
    """Text keys and hashes, with the commands that columns use."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.hashes: dict[str, dict[str, int]] = {}

    def call(self, command: str, key: str, *args: Any) -> Any:
        match command, args:
            case "GET", ():
                return self.texts.get(key, False)
            case "SET", (value,):
                self.texts[key] = value
            case "APPEND", (value,):
                self.texts[key] = self.texts.get(key, "") + value
            case "SETRANGE", (offset, value):
                text, at = self.texts[key], int(offset)
                assert at <= len(text)
                self.texts[key] = text[:at] + value + text[at + len(value) :]
            case "DEL", ():
                self.texts.pop(key, None)
            case "EXISTS", ():
                return int(key in self.texts)
            case "STRLEN", ():
                return len(self.texts.get(key, ""))
            case "HINCRBY", (name, change):
                fields = self.hashes.setdefault(key, {})
                fields[name] = fields.get(name, 0) + int(change)
                return fields[name]
            case "HDEL", (name,):
                del self.hashes[key][name]
            case "HGET", (name,):
                return str(fields[name]) if name in (fields := self.hashes.get(key, {})) else False
            case _:
                raise AssertionError((command, key, args))
        return None


@pytest.fixture
def keys(request: pytest.FixtureRequest) -> Keys:
    return fresh_keys()


def fresh_keys() -> Keys:
    keys = Keys()
    LUA.redis.call = keys.call
    LUA.redis.pcall = keys.call
    return keys


@given(WRITES)
def test_lines_are_those_of_a_list(writes: list[tuple[int, str]]) -> None:
    keys, model = fresh_keys(), [""] * ROWS
    for row, value in writes:
        LUA.columns.write("{0}", NAME, row, value)
        model[row] = value
    assert {row: LUA.columns.read("{0}", NAME, row) for row, _ in writes} == {row: model[row] for row, _ in writes}
    assert LUA.columns.size("{0}", NAME) == sum(value != "" for value in model)
    assert LUA.columns.read("{0}", NAME, 5) == model[5]
    for block in range(3):
        wanted = model[256 * block : 256 * (block + 1)]
        text = keys.texts.get(f"column:{{0}}:{block}:{NAME}")
        # A block without a value takes no memory, and none goes on behind what was once its last value.
        assert (text is not None) == any(wanted)
        if text is not None:
            assert (text[0], text[-1]) == ("\n", "\n")
            lines = [line.rstrip(" ") for line in text[1:-1].split("\n")]
            long = [len(value) > 256 for value in wanted]
            expected = ["\xff" if is_long else value for value, is_long in zip(wanted, long, strict=True)]
            assert lines == expected[: len(lines)]
            assert not any(expected[len(lines) :])
    long_values = {key: text for key, text in keys.texts.items() if key.startswith("long_value:")}
    assert long_values == {
        f"long_value:{{0}}:{row}:{NAME}": value for row, value in enumerate(model) if len(value) > 256
    }


def test_rows_are_given_in_order(keys: Keys) -> None:
    ids = [f"{number:036d}" for number in range(300)]
    assert [LUA.columns.add_row("{0}", id) for id in ids] == [str(row) for row in range(300)]
    assert LUA.columns.rows("{0}") == LUA.columns.size("{0}", "id") == 300
    assert [LUA.columns.read("{0}", "id", row) for row in (0, 255, 256, 299)] == [
        ids[row] for row in (0, 255, 256, 299)
    ]


ATOMS = st.builds(
    lambda name, start: ["matching_word", name, "m", ["prefix", start]], st.sampled_from("kl"), st.sampled_from("abw")
)


def is_match(predicate: list[Any], values: dict[str, str]) -> bool:
    return holds(
        predicate, lambda atom: any(word.startswith(atom[3][1]) for word in values.get(atom[1], "").split(" "))
    )


@given(predicates(ATOMS), st.lists(st.tuples(st.integers(0, 259), st.sampled_from("kl"), VALUES), max_size=12))
def test_a_scan_counts_the_rows_that_match(predicate: list[Any], writes: list[tuple[int, str, str]]) -> None:
    fresh_keys()
    for number in range(260):
        LUA.columns.add_row("{0}", f"{number:08x}-{number:04x}-4000-8000-{number:012x}")
    model: list[dict[str, str]] = [{} for _ in range(260)]
    for row, name, value in writes:
        LUA.columns.write("{0}", name, row, value)
        model[row][name] = value
    search = LUA.table({"p": "{0}", "predicate": predicate, "rows": 0, "matches": 0, "top": [], "complete": "none"})
    LUA.turn.begin(10)
    assert LUA.scan.count(search) is False
    assert (search["rows"], search["matches"]) == (None, sum(is_match(predicate, values) for values in model))


COMPLETES = st.one_of(
    st.sampled_from(["all", "none"]),
    st.builds(lambda at, walks: {1: str(at), 2: "id", "walks": walks}, st.integers(-9, 10**13), st.booleans()),
    st.builds(lambda rows, more: {"rows": rows, "is_more": more}, st.integers(0, 10**6), st.booleans()),
)
COUNTED = st.one_of(
    st.just({}),
    st.builds(lambda rows: {"rows": rows}, st.integers(0, 10**6)),
    st.builds(
        lambda since, width, widens: {"since": since, "width": width, "widens": widens},
        st.one_of(st.just("+inf"), st.integers(-(10**12), 10**13).map(str)),
        st.integers(1, 10**6),
        st.booleans(),
    ),
)


@given(
    COMPLETES,
    COUNTED,
    st.integers(0, 10**7),
    st.lists(st.tuples(st.integers(-9, 10**13).map(str), st.text("abcdef-0", min_size=1)), max_size=5),
)
def test_what_is_known_is_written_and_read(
    complete: Any, counted: dict[str, Any], matches: int, top: list[tuple[str, str]]
) -> None:
    keys = fresh_keys()
    places = [list(place) for place in top]
    search = LUA.table({"p": "{0}", "entry": "5-1", "matches": matches, "top": places, "complete": complete, **counted})
    text = LUA.known.text(search)
    read = LUA.table({"p": "{0}"})
    del keys

    def log(command: str, key: str, *args: Any) -> Any:
        assert (command, key, args[0]) == ("XRANGE", "changes:{0}", "5-1")
        return LUA.table([["5-1", ["key", "x"]]])

    LUA.redis.pcall = log
    assert LUA.known.catch_up(read, text) is False
    assert python(read["complete"]) == (complete if isinstance(complete, str) else dict(complete.items()))
    assert (read["entry"], read["matches"]) == ("5-1", matches)
    assert [(place[1], place[2]) for place in read["top"].values()] == top
    assert {name: read[name] for name in counted} == counted
    # Nothing new is not said again.
    assert LUA.known.text(read) == ""


def python(value: Any) -> Any:
    return value if isinstance(value, str) else dict(value.items())


@pytest.mark.parametrize("text", ["", "junk", "1 2 3"])
def test_what_cannot_be_read_is_not_known(keys: Keys, text: str) -> None:
    read = LUA.table({"p": "{0}"})
    assert LUA.known.catch_up(read, text) is False
    assert (read["matches"], LUA.known.text(read)) == (None, "")
