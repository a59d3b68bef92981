"""The largest number of units within a budget of parameters, for anything that grows with its
units.
"""

from collections.abc import Callable

from capax.errors import CapaxError, TooSmall


def largest(
    count: Callable[[int], int], budget: int, *, multiple: int = 1, name: str = "the network", sizes: str = ""
) -> tuple[int, int]:
    """The largest number of units, a multiple of `multiple`, and how many parameters it has.

    **Arguments:** `count`, the parameters of so many units; `name` and `sizes`, what errors say of
    the network.

    Raises `TooSmall` for a budget that is too small for the fewest units, `CapaxError` for a
    network that does not grow.
    """

    def counted(times: int) -> int:
        return count(times * multiple)

    if counted(1) > budget:
        least = "one unit" if multiple == 1 else f"{multiple} units"
        raise TooSmall(
            f"a budget of {budget} parameters is too small for {name}: {least} per layer{sizes} takes {counted(1)}."
        )
    low, high = 1, 2  # counted(low) <= budget always; doubled until counted(high) > budget, then halved between
    while counted(high) <= budget:
        if counted(high) == counted(low):
            raise CapaxError(
                f"{name} has as many parameters ({counted(low)}) with {low * multiple} as with {high * multiple} units: "
                "it cannot be sized."
            )
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if counted(middle) <= budget else (low, middle)
    return low * multiple, counted(low)
