"""What crosses Redis, operation by operation: leases, uploads, scores, statuses.

Everything that must happen at once is one Lua script on the keys of one camera, in commands that
Redis 7 and Valkey both have.
"""
