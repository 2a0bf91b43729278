"""Reads masks from a MATLAB file in a process of its own: `python matlab_reader.py FILE VARIABLE`.

Their shape and bits go to the output as .npz; what is wrong with the file is the last line of the
errors. It imports nothing of the project, as it is run as a file.
"""

from __future__ import annotations

import sys
from io import BytesIO

import numpy as np
from scipy.io import loadmat


def main(path: str, variable: str) -> None:
    """Read a cell array of (rows, columns) masks, one a frame; pixels above 0 are abnormal.

    Raises: SystemExit: it isn't there, or something else is. Damaged files raise what SciPy does.
    """
    try:
        found = loadmat(path, variable_names=[variable])
    except NotImplementedError:
        raise SystemExit("it is in MATLAB's 7.3 format: save it as version 7") from None
    if variable not in found:
        raise SystemExit(f"it holds no {variable}")
    cells = [np.asarray(cell) for cell in np.ravel(found[variable])]
    shapes = {cell.shape for cell in cells}
    kinds = {cell.dtype.kind for cell in cells}
    if found[variable].dtype != object or len(shapes) != 1 or not kinds <= set("biuf"):
        raise SystemExit(f"{variable} must be a cell array of numeric masks of one size")
    shape = (len(cells), *shapes.pop())
    if len(shape) != 3:
        raise SystemExit(f"{variable} must be a cell array of masks of rows and columns")
    masks = np.empty(shape, np.bool_)
    for index, cell in enumerate(cells):
        masks[index] = cell > 0
    output = BytesIO()
    np.savez(output, shape=np.array(shape), bits=np.packbits(masks))
    sys.stdout.buffer.write(output.getbuffer())


if __name__ == "__main__":
    main(*sys.argv[1:])
