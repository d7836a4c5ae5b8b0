"""HealthService."""

from conversations.errors import StoreUnavailableError
from conversations.rpc import Context, Health
from conversations.v1 import health_service_pb2 as pb

__all__ = ["HealthServicer"]


class HealthServicer:
    """Implements HealthService."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def GetHealth(self, request: pb.GetHealthRequest, context: Context) -> pb.GetHealthResponse:
        causes = self._health.causes
        if not self._health.serving:
            raise StoreUnavailableError("; ".join(causes))
        status = pb.GetHealthResponse.DEGRADED if causes else pb.GetHealthResponse.SERVING
        return pb.GetHealthResponse(status=status, causes=causes)
