"""The tree of errors: each carries a sentence for a person and facts for a program."""

import inspect

import pytest

from conversations import errors

ID = "a688d36c-a85e-44af-bc02-4248c2c97622"


def tree(kind: type[errors.ServiceError], indent: str = "    ") -> list[str]:
    """Return a class and all below it as the module's docstring draws them, in the order of the source."""
    children = sorted(kind.__subclasses__(), key=lambda child: inspect.getsourcelines(child)[1])
    lines = []
    for child in children:
        last = child is children[-1]
        lines.append(f"{indent}{'└── ' if last else '├── '}{child.__name__}")
        lines += tree(child, indent + ("    " if last else "│   "))
    return lines


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    assert errors.__doc__ is not None
    drawn = [line for line in errors.__doc__.split("\n") if line.endswith("Error")]
    assert drawn == ["    ServiceError", *tree(errors.ServiceError)]


def test_every_error_says_when_it_is_raised() -> None:
    for name, kind in vars(errors).items():
        if isinstance(kind, type):
            assert kind.__doc__, name


@pytest.mark.parametrize(
    ("error", "message", "metadata"),
    [
        (errors.ServiceError("it broke", fact="1"), "it broke", {"fact": "1"}),
        (errors.InvalidFieldError("a.b", "is missing"), "a.b: is missing", {"field": "a.b"}),
        (errors.CursorError("cursor", "is damaged"), "cursor: is damaged", {"field": "cursor"}),
        (errors.FilterSyntaxError("no", 7), "no", {"position": "7"}),
        (errors.UnknownFieldError("no", 7, field="x"), "no", {"position": "7", "field": "x"}),
        (errors.ConversationNotFoundError(ID), f"no conversation has the id {ID}", {"id": ID}),
        (errors.MessageNotFoundError(ID), f"no message has the id {ID}", {"id": ID}),
        (errors.TagNotFoundError(ID), f"no tag has the id {ID}", {"id": ID}),
        (errors.ChannelNotFoundError(ID), f"no channel has the id {ID}", {"id": ID}),
        (
            errors.DamagedRecordError("tag", ID),
            f"the stored tag {ID} is damaged",
            {"id": ID},
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_message_and_facts(error: errors.ServiceError, message: str, metadata: dict[str, str]) -> None:
    assert str(error) == error.message == message
    assert error.metadata == metadata


def test_what_is_quoted_can_be_sent() -> None:
    error = errors.InvalidFieldError("a\udcff", "is unknown\ud800")
    texts = [error.message, error.field, error.description, str(error), *error.metadata.values()]
    assert [text.encode() for text in texts] == [b"a?: is unknown?", b"a?", b"is unknown?", b"a?: is unknown?", b"a?"]
