"""`normwatch bench`: how fast the network, the worker and the whole service are on this machine.

A figure that can't be measured is None, and the tables say why.
"""
