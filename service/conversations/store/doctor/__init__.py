"""The doctor: compares everything in Redis with what it is derived from, reports differences, and repairs them.

What sources sent and agents decided are the facts: messages, documents, states, tags, times of reading, channels.
Everything else is derived from them, and is rebuilt where it differs: see `store/lua/lib/doctor.lua`.
"""

from conversations.store.doctor.doctor import Doctor
from conversations.store.doctor.findings import Findings

__all__ = ["Doctor", "Findings"]
