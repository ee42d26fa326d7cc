"""Recognition of a stream: a rolling window of moments, and the events found in it (AVGN, 3.5, on and on)."""

from avgn_edge.runtime.stream.events import Event, EventSettings, StreamUpdate
from avgn_edge.runtime.stream.live_stream import Stream
from avgn_edge.runtime.stream.stream_settings import EVERY_S, StreamSettings

__all__ = ["EVERY_S", "Event", "EventSettings", "Stream", "StreamSettings", "StreamUpdate"]
