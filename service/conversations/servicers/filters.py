"""FilterService."""

from collections.abc import Mapping

from conversations import filters
from conversations.rpc import Context
from conversations.schema import FIELDS
from conversations.store import Store
from conversations.v1 import filter_service_pb2 as pb

__all__ = ["FilterServicer"]


# Clauses whose cost is measured.
_MAX_MEASURED = 50


class FilterServicer:
    """Implements FilterService."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def ExplainFilter(self, request: pb.ExplainFilterRequest, context: Context) -> pb.ExplainFilterResponse:
        compiled = filters.compile_filter(request.filters)
        asked = filters.metadata_fields(compiled.expression)
        known = await self._store.search.known_fields(list(asked))
        unknown = [
            f"at position {position}: no conversation has `{name}`; paths are case-sensitive"
            for name, position in asked.items()
            if name not in known
        ]
        tree = filters.explain(compiled)
        leaves = filters.leaves(tree)
        costs = {}
        for leaf in leaves[:_MAX_MEASURED]:
            if leaf.answer is not None:
                costs[id(leaf)] = await self._store.search.cost_ms(leaf.answer)
        return pb.ExplainFilterResponse(
            tree=_part(tree, costs),
            queries=[compiled.query.text],
            phrase_checks=[leaf.value for leaf in leaves if leaf.kind == "phrase" and leaf.answered_by != "index"],
            warnings=[*compiled.warnings, *unknown],
        )

    async def ListFilterFields(
        self, request: pb.ListFilterFieldsRequest, context: Context
    ) -> pb.ListFilterFieldsResponse:
        return pb.ListFilterFieldsResponse(
            fields=[
                pb.FilterField(
                    name=field.name,
                    aliases=field.aliases,
                    type=field.kind.value,
                    description=field.description,
                    example=field.example,
                )
                for field in FIELDS
            ]
        )


def _part(explanation: filters.Explanation, costs: Mapping[int, float]) -> pb.FilterPart:
    children = [_part(child, costs) for child in explanation.children]
    return pb.FilterPart(
        kind=explanation.kind,
        occur=explanation.occur,
        position=explanation.position,
        field=explanation.field,
        type=explanation.type,
        value=explanation.value,
        children=children,
        answered_by=explanation.answered_by,
        cost_ms=costs.get(id(explanation), sum(child.cost_ms for child in children)),
    )
