"""rushes for Python: its environments, equal to Gymnasium's number for number, and its experiments.

After `import rushes`, `gymnasium.make("rushes/LunarLander-v3")` and `gymnasium.make_vec("rushes/LunarLander-v3",
num_envs=64)` make them, also by the id `rushes:rushes/LunarLander-v3`, with which Gymnasium imports this package itself.
:func:`vector` makes a vector environment without Gymnasium's registry.

:func:`run` runs an experiment, :class:`Run` reads what it came to, :func:`load_policy` acts by a policy that it learned.
"""

from importlib.metadata import version

from ._env import Env
from ._policy import Policy, load_policy
from ._program import RushesError
from ._register import register
from ._run import Run, Take, run
from ._spec import ids
from ._table import Table
from ._vector import VectorEnv, vector

__all__ = ["Env", "Policy", "Run", "RushesError", "Table", "Take", "VectorEnv", "ids", "load_policy", "run", "vector"]
__version__ = version("rushes")

register()
