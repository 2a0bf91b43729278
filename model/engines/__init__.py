"""Engines: what runs a bundle's network, and what is measured of it, on a machine.

`forms` has the two passes that all of them run; `choice` says which engine is right here.
"""
