"""Recurrent cells: one file a cell, its equations and nothing else; cell.py is the contract."""

from capax.cells.cell import Affine as Affine
from capax.cells.cell import Cell as Cell
from capax.cells.cell import affine as affine
from capax.cells.cell import forget_bias as forget_bias
from capax.cells.cell import hyperparameter as hyperparameter
from capax.cells.cell import sigmoid as sigmoid
from capax.cells.registry import BUILT_IN as BUILT_IN
from capax.cells.registry import get as get
from capax.cells.registry import name_of as name_of
