"""What holds for the house as a whole: no files import each other in a circle, and layers are
looped over in one place.
"""

import ast
import graphlib
import inspect
from pathlib import Path

import capax
from capax import cells
from capax.cells import registry

SOURCE = Path(capax.__file__).parent
FILES = {
    ".".join(("capax", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


class Imports(ast.NodeVisitor):
    """The files of capax that a file imports, inside functions too; not what type checkers alone
    see.
    """

    def __init__(self):
        self.found = set()

    def visit_If(self, node):
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_Import(self, node):
        self.found |= {alias.name for alias in node.names if alias.name in FILES}

    def visit_ImportFrom(self, node):
        assert not node.level, "imports are absolute"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            self.found |= {inner if inner in FILES else node.module} & set(FILES)


def imports_of(source):
    visitor = Imports()
    visitor.visit(ast.parse(source))
    return visitor.found


def circle(graph):
    """The files of a circle; none where there is none."""
    try:
        tuple(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_files_import_each_other_in_a_circle():
    assert circle({name: imports_of(path.read_text()) for name, path in FILES.items()}) == []


def test_a_circle_by_an_import_inside_a_function_is_seen():
    graph = {
        "capax.api": imports_of("def f():\n    from capax.networks import sizing"),
        "capax.networks.sizing": imports_of("import capax.api"),
    }
    assert set(circle(graph)) == {"capax.api", "capax.networks.sizing"}
    assert imports_of("if TYPE_CHECKING:\n    import capax.api") == set()


RUNS_A_LAYER = {"project", "step", "whole", "advance", "emit", "all_states", "run"}
"""Calls that take a layer over time, or over one step; `run` is what the loop over layers is
given.
"""


def loops_over_layers(source):
    """How many loops over something called layers run what they find."""
    found = 0
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.For):
            over, body = [node.iter], node.body
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.SetComp | ast.DictComp):
            over, body = [part.iter for part in node.generators], [node]
        else:
            continue
        called = {
            getattr(call.func, "attr", getattr(call.func, "id", ""))
            for part in body
            for call in ast.walk(part)
            if isinstance(call, ast.Call)
        }
        if any("layers" in ast.unparse(part) for part in over) and called & RUNS_A_LAYER:
            found += 1
    return found


def test_layers_are_looped_over_in_one_place():
    found = {name: loops_over_layers(path.read_text()) for name, path in FILES.items()}
    assert {name: number for name, number in found.items() if number} == {"capax.networks.ways": 1}


def test_a_loop_over_layers_is_seen():
    assert loops_over_layers("for cell in network.layers:\n    x = cell.step(x, cell.project(x))") == 1
    assert loops_over_layers("[cell.whole(x) for cell in layers]") == 1
    assert loops_over_layers("[cell.units for cell in layers]") == 0


def is_abstract(cell):
    """Whether no layer can be made of a class: methods, or fields, are missing."""
    variables = [getattr(cell, name, ()) for name in ("__abstractvars__", "__abstractclassvars__")]
    return inspect.isabstract(cell) or any(variables)


def test_a_class_of_layers_is_abstract_or_final():
    for name in cells.BUILT_IN:
        cell = cells.get(name)
        assert not is_abstract(cell)
        for base in cell.__mro__[1:]:
            if issubclass(base, cells.Layer):
                assert is_abstract(base), (
                    f"{base.__name__} is neither abstract nor final: {cell.__name__} is made of it"
                )


def test_a_method_of_a_layer_is_written_once():
    allowed = {"__init__", "drawn", "__init_subclass__"}
    for name, cell in cells.BUILT_IN.items():
        bodies = {}
        for base in cell.__mro__:
            if issubclass(base, cells.Layer):
                for method, body in vars(base).items():
                    written = inspect.isfunction(body) and not getattr(body, "__isabstractmethod__", False)
                    if written and body.__module__.startswith("capax.") and method not in allowed:
                        bodies.setdefault(method, []).append(base.__name__)
        assert {method: found for method, found in bodies.items() if len(found) > 1} == {}, name


def test_wiring_follows_from_the_class_and_holds_for_those_that_are_made_of_it():
    assert registry.wiring(cells.get("system-lru")).direct and registry.wiring(cells.get("heads-3")).direct
    assert not registry.wiring(cells.get("lru")).direct and registry.wiring(cells.get("transformer-encoder")).norm
