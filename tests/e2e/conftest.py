from collections.abc import Iterator

import pytest
from tests.conftest import Stack
from tests.rest import Rest


@pytest.fixture
def rest(stack: Stack) -> Iterator[Rest]:
    """A web client of the whole service."""
    with Rest(stack.http_url) as client:
        yield client
