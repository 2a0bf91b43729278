"""Evaluates bundles on labelled footage. Import names from the modules inside."""
