"""Keeps each event's peak picture and clip, as files on the front end's disk.

The worker that owns the camera sends the pictures (`service.bus.picture_requests`). A failure
here never costs the event.
"""
