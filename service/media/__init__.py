"""What an event looked like: its peak's picture and a clip, as files on the front end's disk.

Pixels come from the worker that owns the camera (`service.bus.footage`). Whatever goes wrong here,
the event stays.
"""
