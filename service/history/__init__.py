"""Keeps scores, by frame, second and minute: rolls them up, reads them, and deletes old ones.

`service.record` calls it; it knows nothing of Redis.
"""
