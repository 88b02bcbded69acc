"""Streams of events, for the rest of the company. ``kafka`` is loaded by those who use it."""

from providers.events.base import EventStream, Message, StreamAway
from providers.events.redis_streams import RedisStream

__all__ = ["EventStream", "Message", "RedisStream", "StreamAway"]
