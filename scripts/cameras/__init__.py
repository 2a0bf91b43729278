"""`python -m scripts.cameras`: compares scores over a list of cameras, the worst one first."""
