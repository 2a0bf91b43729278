"""How well a bundle does on labelled footage. Names are imported from the modules inside."""
