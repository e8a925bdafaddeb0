"""The environments of rushes for Python: equal to Gymnasium's, number for number.

After `import rushes`, `gymnasium.make("rushes/LunarLander-v3")` and `gymnasium.make_vec("rushes/LunarLander-v3",
num_envs=64)` make them, also by the id `rushes:rushes/LunarLander-v3`, with which Gymnasium imports this package itself.
:func:`vector` makes a vector environment without Gymnasium's registry.
"""

from importlib.metadata import version

from ._env import Env
from ._register import register
from ._spec import ids
from ._vector import VectorEnv, vector

__all__ = ["Env", "VectorEnv", "ids", "vector"]
__version__ = version("rushes")

register()
