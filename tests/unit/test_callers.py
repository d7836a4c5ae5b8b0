"""Turns and refusals are fair: between addresses first, then between the connections of one."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from conversations.callers import Caller, FairQueue


def caller(address: str, connection: int = 1) -> Caller:
    return Caller(address, f"{address}:{connection}")


def queue_of(*callers: Caller) -> "FairQueue[int]":
    """Return a queue with an item of each caller, numbered in their order."""
    queue: FairQueue[int] = FairQueue()
    for number, one in enumerate(callers):
        queue.push(one, number)
    return queue


def popped(queue: "FairQueue[int]") -> list[int]:
    return [queue.pop() for _ in range(len(queue))]


def test_one_caller_is_served_in_order() -> None:
    assert popped(queue_of(*[caller("a")] * 5)) == [0, 1, 2, 3, 4]


def test_addresses_take_turns_whatever_the_number_of_their_connections() -> None:
    many = [caller("a", number) for number in range(6)]
    assert popped(queue_of(*many, caller("b"), caller("b"), caller("b"))) == [0, 6, 1, 7, 2, 8, 3, 4, 5]


def test_connections_of_one_address_take_turns() -> None:
    assert popped(queue_of(*[caller("a", 1)] * 4, *[caller("a", 2)] * 2)) == [0, 4, 1, 5, 2, 3]


def test_who_comes_late_is_not_behind_all_others() -> None:
    queue = queue_of(*[caller("a")] * 4)
    assert [queue.pop(), queue.pop()] == [0, 1]
    queue.push(caller("b"), 9)
    assert popped(queue) == [2, 9, 3]


def test_an_item_can_be_removed_once() -> None:
    queue = queue_of(caller("a"), caller("a"), caller("b"))
    assert queue.remove(caller("a"), 1)
    assert not queue.remove(caller("a"), 1)
    assert not queue.remove(caller("b"), 0)
    assert not queue.remove(caller("c"), 0)
    assert popped(queue) == [0, 2]


def test_the_heaviest_is_the_newest_of_whoever_has_the_most() -> None:
    queue = queue_of(*[caller("a", 1)] * 2, *[caller("a", 2)] * 5, *[caller("b")] * 6)
    assert queue.heaviest() == 6
    assert queue.heaviest(caller("b")) == 6
    queue.remove(caller("a", 2), 6)
    # Six each: whoever asks for more pays for it.
    assert queue.heaviest(caller("b")) == 12


def test_who_has_a_fair_share_pays_itself() -> None:
    crowd = [caller("a", number) for number in range(10)]
    queue = queue_of(*crowd)
    for one, number in zip(crowd, range(10), strict=True):
        assert queue.heaviest(one) == number


OPERATIONS = st.lists(st.tuples(st.sampled_from("pprx"), st.sampled_from("abc"), st.integers(1, 3)), max_size=60)


@given(OPERATIONS)
def test_it_holds_what_was_put_in_and_not_taken_out(operations: list[tuple[str, str, int]]) -> None:
    queue: FairQueue[int] = FairQueue()
    there: dict[int, Caller] = {}
    for number, (operation, address, connection) in enumerate(operations):
        if operation == "p":
            there[number] = caller(address, connection)
            queue.push(there[number], number)
        elif operation == "x" and there:
            del there[queue.pop()]
        elif there:
            item = min(there)
            assert queue.remove(there.pop(item), item)
        assert len(queue) == len(there)
        assert sorted(queue) == sorted(there)
        if there:
            sizes = [sum(other.address == one.address for other in there.values()) for one in there.values()]
            assert sum(other.address == there[queue.heaviest()].address for other in there.values()) == max(sizes)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 3)), min_size=1, max_size=40))
def test_nobody_is_overtaken_twice_by_the_same_address(waiting: list[tuple[str, int]]) -> None:
    callers = [caller(*one) for one in waiting]
    order = [callers[item].address for item in popped(queue_of(*callers))]
    for address in set(order):
        places = [place for place, one in enumerate(order) if one == address]
        for first, second in pairwise(places):
            between = order[first + 1 : second]
            assert len(between) == len(set(between))
