"""`normwatch soak`: runs the whole service on cameras that misbehave at random, and reports what
grows and whether every frame is accounted for.
"""
