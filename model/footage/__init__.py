"""Reads every kind of source (a URL, a device, a file, a folder) as timed frames.

`locations` parses what a user gives, `footage_search` finds the footage in it, `video_source` opens
a video and chooses its track, `decoding` skips damaged packets, `footage_reader` yields a
recording's pictures with their times, and `clips` holds them fitted to a network. `service.capture`
adds what only live cameras need: the watchdog, reconnection, the newest frame.
"""
