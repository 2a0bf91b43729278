"""How long what, and at which grain: roll-ups of scores, how they are read, and what is deleted.

`service.record` calls it; it knows nothing of Redis.
"""
