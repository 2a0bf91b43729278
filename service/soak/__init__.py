"""`normwatch soak`: the whole service on cameras that misbehave at random, for as long as one
likes. What grows, and whether every frame is accounted for.
"""
