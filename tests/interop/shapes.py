"""An environment of composite observations and actions of several parts, for the tests."""

import gymnasium
import numpy
from gymnasium import spaces


class Shapes(gymnasium.Env):
    observation_space = spaces.Dict(
        {
            "numbers": spaces.Box(-2.0, 2.0, (3,), numpy.float32),
            "picture": spaces.Box(0, 255, (2, 2, 3), numpy.uint8),
            "kind": spaces.Discrete(4),
            "switches": spaces.MultiBinary(2),
            "counts": spaces.MultiDiscrete([2, 3]),
        }
    )
    action_space = spaces.MultiDiscrete([3, 2])

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.steps = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.steps += 1
        return self.observation_space.sample(), float(action[0]), self.steps >= 5, False, {}
