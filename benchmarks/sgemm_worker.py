"""The rate of one core's matrix products in single precision, by NumPy in one thread: the peak that
population.py compares with.
"""

import json
import os
import sys

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

SIZE = 1024


def main() -> None:
    a = np.ones((SIZE, SIZE), np.float32)
    out = np.empty_like(a)
    print(json.dumps({"flops": 2.0 * SIZE**3}), flush=True)
    for line in sys.stdin:
        for _ in range(json.loads(line)["steps"]):
            np.matmul(a, a, out=out)
        print(json.dumps({"loss": None, "memory": 0}), flush=True)


if __name__ == "__main__":
    main()
