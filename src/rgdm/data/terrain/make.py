"""Make `tiles.npz`, the embedded crop of ETOPO5: ``python make.py ETOPO5_CDF [OUT]``.

The first argument is ETOPO5 as NetCDF-3 with the variable ROSE, 2161 x 4320, in metres.
"""

import argparse
from pathlib import Path

import numpy as np
from scipy.io import netcdf_file

SIDE = 240
# Tiles (row, column) of 20 x 20 degrees, counted from 90 S, 0 E, that hold real 5-minute data:
# few repeated neighbours and a spectrum without a gap at the pixel.
TRAIN = [(r, c) for r in range(1, 7) for c in range(8, 12) if (r, c) not in {(2, 9), (4, 8)}]
HELD_OUT = [(r, c) for r in range(1, 7) for c in (12, 13)]


def encode(tiles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """High and low bytes of the mixed second difference, signs folded into the lowest bit."""
    difference = np.diff(np.diff(tiles, axis=1, prepend=tiles.dtype.type(0)), axis=2, prepend=tiles.dtype.type(0))
    folded = ((difference << 1) ^ (difference >> 15)).view(np.uint16)
    return (folded >> 8).astype(np.uint8), (folded & 255).astype(np.uint8)


def main() -> None:
    """Cut the tiles out of the global grid and store them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("etopo5", type=Path)
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).with_name("tiles.npz"))
    arguments = parser.parse_args()
    with netcdf_file(arguments.etopo5, mmap=False) as file:
        elevation = file.variables["ROSE"].data.astype(np.int16)
    places = TRAIN + HELD_OUT
    tiles = np.stack([elevation[r * SIDE : (r + 1) * SIDE, c * SIDE : (c + 1) * SIDE] for r, c in places])
    high, low = encode(tiles)
    np.savez_compressed(arguments.out, high=high, low=low, place=np.array(places, dtype=np.int16), train=len(TRAIN))


if __name__ == "__main__":
    main()
