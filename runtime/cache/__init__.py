"""Two layers of cache: the memory of a process, and Valkey, which all processes share.

Both are kept true by what Postgres tells every process the moment a change is committed.
"""
