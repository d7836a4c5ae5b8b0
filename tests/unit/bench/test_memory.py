"""The changes after which memory is measured."""

from bench.memory import changes


def test_each_change_is_to_a_new_value_of_the_next_conversation() -> None:
    found = list(changes(["a", "b"], 3, first=-1))
    assert [event.metadata.id for event in found] == ["b", "a", "b"]
    values = [str(event.metadata.metadata.fields["user_data"]) for event in found]
    later = [str(event.metadata.metadata.fields["user_data"]) for event in changes(["a"], 3, first=2)]
    assert len({*values, *later}) == 6
    assert all("last_seen" in value for value in values)
