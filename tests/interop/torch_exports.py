"""Exports of networks for PyTorch, where PyTorch is installed beside capax: `python -m
tests.interop.torch_exports` prints by what each was checked, and the difference.
"""

import json
import tempfile
from pathlib import Path

from capax import cells
from capax.cells.wiring import Wiring
from capax.interop.exporting import export
from capax.networks.bidirectional import Bidirectional
from capax.networks.network import Network
from tests.networks.random_networks import randomise


def main():
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for cell in ("rnn", "irnn", "lstm", "gru-reset-after"):
            for kind in (Network, Bidirectional):
                wiring = Wiring(embedding=4)
                network = kind(cells.get(cell), inputs=3, outputs=2, units=5, depth=2, wiring=wiring)
                (checked,) = export(randomise(network), "torch", Path(folder) / "m.safetensors")
                found.append([checked.by, checked.difference])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
