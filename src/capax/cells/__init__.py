"""Layers: one file a cell, its equations and nothing else; cell.py is the contract."""

from capax.cells.cell import Affine as Affine
from capax.cells.cell import Cell as Cell
from capax.cells.cell import Demands as Demands
from capax.cells.cell import Layer as Layer
from capax.cells.cell import LinearCell as LinearCell
from capax.cells.cell import SequenceLayer as SequenceLayer
from capax.cells.cell import affine as affine
from capax.cells.cell import column as column
from capax.cells.cell import forget_bias as forget_bias
from capax.cells.cell import hyperparameter as hyperparameter
from capax.cells.cell import layer_norm as layer_norm
from capax.cells.cell import sigmoid as sigmoid
from capax.cells.registry import BUILT_IN as BUILT_IN
from capax.cells.registry import get as get
from capax.cells.registry import name_of as name_of
from capax.cells.registry import wiring as wiring
from capax.cells.wiring import Wiring as Wiring
