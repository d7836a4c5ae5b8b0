"""Envoy's configuration, for `up` and for production: what is admitted, where it goes, and what a refusal looks
like."""

from conversations.edge.configuration import EnvoySettings, render
from conversations.edge.names import Address
from conversations.edge.routes import rest_routes

__all__ = ["Address", "EnvoySettings", "render", "rest_routes"]
