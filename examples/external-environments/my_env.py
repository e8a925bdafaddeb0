"""A boat crosses a river with a current of unknown strength and has to land at the jetty."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Ferry(gym.Env):
    """Gymnasium's usual class: spaces, `reset`, `step`, and `render` for the films."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, current=0.02, render_mode=None):
        self.render_mode = render_mode
        self.current = current  # its greatest strength, in river widths a step
        self.observation_space = spaces.Box(-2, 2, (3,), np.float32)  # along the river, across it, the current
        self.action_space = spaces.Discrete(3)  # steer upstream, straight ahead, downstream

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = np.array([self.np_random.uniform(-0.5, 0.5), 0.0])
        self.drift = self.np_random.uniform(-self.current, self.current)
        return self.observe(), {}

    def step(self, action):
        self.position += [0.03 * (action - 1) + self.drift, 0.02]
        self.position[0] = np.clip(self.position[0], -1, 1)
        landed = bool(self.position[1] >= 1)
        reward = 1 - 2 * abs(self.position[0]) if landed else 0.0
        return self.observe(), reward, landed, False, {"drift": self.drift}

    def observe(self):
        return np.array([*self.position, 50 * self.drift], dtype=np.float32)

    def render(self):
        picture = np.full((160, 240, 3), (70, 130, 180), dtype=np.uint8)
        picture[:12] = picture[-12:] = (110, 140, 70)
        picture[:20, 110:130] = (120, 80, 40)  # the jetty
        x, y = int(120 + 100 * self.position[0]), int(140 - 120 * min(self.position[1], 1))
        picture[y - 8 : y + 9, x - 5 : x + 6] = (250, 240, 220)
        return picture
