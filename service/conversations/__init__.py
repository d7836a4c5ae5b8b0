"""The inbox of a messaging platform as one service."""
