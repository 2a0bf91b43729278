"""The front end's side of learnings: their rows, jobs for learners, and what becomes of a model. It
trains nothing: `service.learn` does.
"""
