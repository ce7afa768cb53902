"""C++ for the two parts of the DeltaNet that plain torch does slowly on CPU; built at first use."""

from functools import cache
from pathlib import Path

from torch.utils.cpp_extension import load


@cache
def module(name):
    flags = ["-O3", "-march=native", "-ffast-math", "-fno-math-errno", "-mprefer-vector-width=512"]
    source = Path(__file__).with_name(f"{name}.cpp")
    return load(f"demo_{name}", [str(source)], extra_cflags=flags, extra_ldflags=["-lmvec"])
