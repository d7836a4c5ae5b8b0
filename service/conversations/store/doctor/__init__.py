"""The doctor: compares everything in Redis with what it follows from, says what is wrong, and mends it.

What sources sent and agents decided are the facts: messages, documents, states, tags, times of reading, channels.
Everything else follows from them, and is made again where it does not: see `store/lua/lib/doctor.lua`.
"""

from conversations.store.doctor.doctor import Doctor
from conversations.store.doctor.findings import Findings

__all__ = ["Doctor", "Findings"]
