"""Serves copies of a Gymnasium environment to rushes over the protocol `rushes-env` 1.

Needs gymnasium and numpy, nothing else. The protocol is specified in docs/external-environments.md of rushes.
Started as `python rushes_gymnasium.py SETTINGS`, where SETTINGS is `environment.gymnasium` of an experiment with its id, as JSON.
"""

import importlib
import io
import json
import mmap
import os
import pickle
import re
import sys
import traceback

# The protocol's channel is moved away at once: whatever the environment prints goes to standard error.
down, up = os.dup(0), os.dup(1)
os.dup2(2, 1)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
sys.path.insert(0, os.getcwd())

PROTOCOL, VERSION = "rushes-env", 1


def tell(message):
    line = json.dumps(message).encode() + b"\n"
    while line:
        line = line[os.write(up, line):]


def hear(lines):
    line = lines.readline()
    if not line:
        sys.exit()
    return json.loads(line)


def load(name, default):
    """What `module:Name` names."""
    module, _, attribute = name.rpartition(":")
    found = importlib.import_module(module or default)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def make(settings, options, render):
    """One copy of the environment with its wrappers."""
    module, _, name = settings["id"].rpartition(":")
    found = importlib.import_module(module) if module else None
    limit = settings.get("max_episode_steps")
    if render:
        options = {**options, "render_mode": "rgb_array"}
    if found and name not in gym.registry and not re.search(r"-v\d+$", name):
        env = load(settings["id"], "")(**options)  # a class or function that nobody registered
        if limit:
            env = gym.wrappers.TimeLimit(env, limit)
    else:
        limit = {"max_episode_steps": limit} if limit else {}
        env = without_order_check(gym.make(name, disable_env_checker=True, **limit, **options))
    for wrapper in settings.get("wrappers", []):
        wrapper = {"name": wrapper} if isinstance(wrapper, str) else wrapper
        env = load(wrapper["name"], "gymnasium.wrappers")(env, **wrapper.get("options", {}))
    return env


def without_order_check(env):
    """An environment without the wrapper that refuses a step before the first reset: the protocol has no such step, and the wrapper costs a call."""
    if isinstance(env, gym.wrappers.OrderEnforcing):
        return env.env
    if isinstance(env, gym.Wrapper):
        env.env = without_order_check(env.env)
    return env


class Part:
    """A part of a space that is an array: how its values get into and out of it."""

    def __init__(self, space, path):
        self.space, self.path, self.start = space, path, None
        if isinstance(space, spaces.Box):
            self.dtype, self.shape = space.dtype, space.shape
        elif isinstance(space, spaces.Discrete):
            self.dtype, self.shape = np.dtype("<i8"), ()
        elif isinstance(space, spaces.MultiDiscrete):
            self.dtype, self.shape = np.dtype("<i8"), (space.nvec.size,)
            start = np.asarray(getattr(space, "start", 0))
            self.start = start.ravel() if start.any() else None
        else:
            self.dtype, self.shape = np.dtype("|i1"), (space.n if isinstance(space.n, int) else int(np.prod(space.n)),)

    def get(self, value):
        """The part of an observation, as the array takes it."""
        for key in self.path:
            value = value[key]
        if np.shape(value) != self.space.shape:
            raise ValueError(f"an observation has the shape {np.shape(value)}, its space has {self.space.shape}")
        if isinstance(self.space, (spaces.MultiDiscrete, spaces.MultiBinary)):
            value = np.ravel(value)
        return value if self.start is None else value - self.start

    def put(self, value):
        """The action that an array holds, a copy."""
        if isinstance(self.space, spaces.Discrete):
            return int(value)
        value = value.copy()
        if self.start is not None:
            value += self.start
        return value if isinstance(self.space, spaces.Box) else value.reshape(self.space.shape)


def describe(space, notes, path=()):
    """A space as the handshake tells it, with its parts in order; None for a text in an observation: it has no numbers."""
    if isinstance(space, spaces.Box):
        def bounds(array):
            array = np.broadcast_to(np.asarray(array, dtype="f8"), space.shape).ravel()
            one = [x if np.isfinite(x) else str(x) for x in (array[:1] if (array == array[:1]).all() else array).tolist()]
            return one[0] if len(one) == 1 else one
        dtype = space.dtype.newbyteorder("<").str if space.dtype.itemsize > 1 else space.dtype.str
        low, high = bounds(space.low), bounds(space.high)
        return {"type": "box", "dtype": dtype, "shape": list(space.shape), "low": low, "high": high}, [Part(space, path)]
    if isinstance(space, spaces.Discrete):
        return {"type": "discrete", "n": int(space.n), "start": int(space.start)}, [Part(space, path)]
    if isinstance(space, spaces.MultiDiscrete):
        return {"type": "multi_discrete", "nvec": space.nvec.ravel().tolist()}, [Part(space, path)]
    if isinstance(space, spaces.MultiBinary):
        return {"type": "multi_binary", "n": int(np.prod(space.n))}, [Part(space, path)]
    if path and notes is not None and isinstance(space.sample(), str):  # Text, and MiniGrid's own MissionSpace
        notes.append(f"the text {'/'.join(map(str, path))!r} of its observations is left out: it has no numbers")
        return None, []
    if isinstance(space, spaces.Dict):
        keys = sorted(space.spaces, key=str)
    elif isinstance(space, spaces.Tuple):
        keys = range(len(space.spaces))
    else:
        raise TypeError(f"rushes has no use for a space of type {type(space).__name__}: {space}; add a wrapper that makes numbers of it")
    described = {key: describe(space[key], notes, (*path, key)) for key in keys}
    told = {str(key): one for key, (one, _) in described.items() if one}
    parts = [part for _, some in described.values() for part in some]
    if isinstance(space, spaces.Dict):
        return {"type": "dict", "spaces": told}, parts
    return {"type": "tuple", "spaces": list(told.values())}, parts


def assemble(space, values):
    """An action of a space from the values of its parts, in order."""
    if isinstance(space, spaces.Tuple):
        return tuple(assemble(part, values) for part in space.spaces)
    if isinstance(space, spaces.Dict):
        return {key: assemble(space[key], values) for key in sorted(space.spaces, key=str)}
    return next(values)


def plain(value, depth=0):
    """What JSON can hold of an info; everything else is dropped."""
    if depth > 20:
        return None
    if isinstance(value, dict):
        return {str(key): kept for key, one in value.items() if (kept := plain(one, depth + 1)) is not None}
    if isinstance(value, (list, tuple)):
        return [plain(one, depth + 1) for one in value[:1000]]
    if isinstance(value, np.ndarray):
        return plain(value.tolist()) if value.size <= 1000 else None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if isinstance(value, (bool, int, str)) else None


class Pickler(pickle.Pickler):
    """Leaves out windows and pictures of pygame, which cannot be saved and are no state."""

    def reducer_override(self, value):
        return (type(None), ()) if type(value).__module__.startswith("pygame") else NotImplemented


def save(env):
    saved = io.BytesIO()
    Pickler(saved).dump(env)
    return saved.getvalue()


def told(value):
    """A returned value in a message."""
    text = repr(value)
    return text if len(text) <= 200 else text[:200] + "…"


def can_be_saved(env):
    """Whether pickling keeps an environment's state; those that EzPickle makes anew begin at their start."""
    if isinstance(env.unwrapped, gym.utils.EzPickle):
        return False
    try:
        pickle.loads(save(env))
        return True
    except Exception:
        return False


def reason(error):
    """An exception with its traceback, from where it leaves this file."""
    trace = error.__traceback__
    while trace.tb_next and trace.tb_frame.f_code.co_filename == reason.__code__.co_filename:
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).strip()


def try_render(settings, options, notes):
    """A copy that renders and the shape of its pictures, where it can."""
    try:
        env = make(settings, options, True)
        env.reset(seed=0)
        picture = np.asarray(env.render())
        if picture.ndim == 3 and picture.shape[2] == 3 and picture.dtype == np.uint8:
            return env, list(picture.shape[:2])
        notes.append(
            f"it is not filmed: its pictures are of the shape {picture.shape} and the type {picture.dtype}, "
            "expected (height, width, 3) and uint8"
        )
    except Exception as error:
        notes.append(f"it is not filmed: rendering failed: {type(error).__name__}: {error}")
    return None, None


class Server:
    """The copies, and what the commands do to them."""

    def __init__(self, settings, hello):
        self.settings, self.options = settings, hello["options"]
        notes = []
        self.render = False
        env = make(settings, self.options, False)
        frame, metadata = None, env.metadata or {}
        if hello["render"]:
            if "rgb_array" in (metadata.get("render_modes") or []):
                drawn, frame = try_render(settings, self.options, notes)
                if drawn is not None:
                    env.close()
                    env, self.render = drawn, True
            else:
                notes.append('it is not filmed: its `metadata["render_modes"]` has no "rgb_array"')
        self.copies = hello["copies"]
        self.envs = [env] + [make(settings, self.options, self.render) for _ in range(self.copies - 1)]
        self.new_options = {}
        self.infos = [{} for _ in self.envs]
        self.action_space = env.action_space
        action_space, self.actions = describe(env.action_space, None)
        observation_space, self.observations = describe(env.observation_space, notes)
        spec = env.spec
        self.card = {
            "version": VERSION,
            "adapter": f"gymnasium {gym.__version__}, numpy {np.__version__}, Python {sys.version.split()[0]}",
            "action_space": action_space,
            "observation_space": observation_space,
            "max_episode_steps": spec.max_episode_steps if spec else settings.get("max_episode_steps"),
            "reward_threshold": spec and spec.reward_threshold,
            "deterministic": not (spec and spec.nondeterministic),
            "render_fps": metadata.get("render_fps"),
            "frame": frame,
            "reconfigurable": True,
            "snapshots": can_be_saved(env),
            "notes": notes,
        }

    def attach(self, memory):
        """Maps the shared memory and finds the arrays in it."""
        with open(memory["path"], "r+b") as file:
            mapped = mmap.mmap(file.fileno(), memory["size"])
        view = {a["name"]: np.ndarray(a["shape"], a["dtype"], mapped, a["offset"]) for a in memory["arrays"]}
        self.taken = [view[f"action.{i}"] for i in range(len(self.actions))]
        self.seen = [(part, view[f"observation.{i}"], view[f"final_observation.{i}"]) for i, part in enumerate(self.observations)]
        # A number at a time is written faster through a memoryview than through NumPy.
        self.reward, self.terminated, self.truncated = (memoryview(view[name]) for name in ("reward", "terminated", "truncated"))
        self.step_mask, self.reset_mask, self.seed = view["step"], view["reset"], view["seed"]
        self.frame = view.get("frame")
        box = len(self.seen) == 1 and not self.observations[0].path and isinstance(self.observations[0].space, spaces.Box)
        self.rows = [self.seen[0][1][i, ...] for i in range(self.copies)] if box else None

    def actions_reader(self):
        """A function that gives the actions of all copies; those of one number at once, which is faster."""
        space, copies = self.action_space, range(self.copies)
        if isinstance(space, spaces.Discrete):
            return self.taken[0].tolist
        if not isinstance(space, (spaces.Tuple, spaces.Dict)):
            return lambda: [self.actions[0].put(row) for row in self.taken[0]]
        row = lambda i: (part.put(array[i]) for part, array in zip(self.actions, self.taken))
        return lambda: [assemble(space, row(i)) for i in copies]

    def observe(self, i, observation, last=False):
        for part, present, final in self.seen:
            (final if last else present)[i] = part.get(observation)

    def reset_copy(self, i):
        seed = int(self.seed[i]) if self.reset_mask[i] == 1 else None
        if i in self.new_options:
            if seed is None:  # made anew, it has no random stream that could go on
                seed = int(self.envs[i].unwrapped.np_random.integers(2**31))
            self.envs[i].close()
            self.envs[i] = env = make(self.settings, self.new_options.pop(i), self.render)
            for what in ("observation_space", "action_space"):
                if describe(getattr(env, what), [] if what == "observation_space" else None)[0] != self.card[what]:
                    raise ValueError(f"with these options the {what} is another one: {getattr(env, what)}")
        returned = self.envs[i].reset(seed=seed)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(f"`reset` returned {told(returned)}, expected (observation, info)")
        observation, self.infos[i] = returned
        self.observe(i, observation)

    def reset(self):
        for i in np.flatnonzero(self.reset_mask).tolist():
            self.reset_copy(i)

    def stepper(self):
        """A function that steps the copies. What it needs is looked up once and not at every step."""
        next_actions, marks, envs, infos, resets = self.actions_reader(), self.step_mask.tolist, self.envs, self.infos, self.reset_mask
        rewards, ends, cuts = self.reward, self.terminated, self.truncated
        array, rows, shape = np.ndarray, self.rows, self.observations[0].shape

        def step():
            actions = next_actions()
            for i, takes_part in enumerate(marks()):
                if not takes_part:
                    continue
                returned = envs[i].step(actions[i])
                try:
                    observation, rewards[i], end, cut, infos[i] = returned
                    ends[i], cuts[i] = end, cut
                except (TypeError, ValueError):
                    raise TypeError(
                        f"`step` returned {told(returned)}, expected (observation, reward, terminated, truncated, info) with "
                        "a number and two bools"
                    ) from None
                if (end or cut) and resets[i]:
                    self.observe(i, observation, last=True)
                    self.reset_copy(i)
                elif rows and type(observation) is array and observation.shape == shape:
                    rows[i][...] = observation
                else:
                    self.observe(i, observation)

        return step

    def draw(self):
        for i in np.flatnonzero(self.step_mask).tolist():
            picture = np.asarray(self.envs[i].render())
            if picture.dtype != np.uint8:
                raise TypeError(f"a picture is of the type {picture.dtype}, expected uint8")
            if picture.shape != self.frame.shape[1:]:
                raise ValueError(f"a picture has the shape {picture.shape}, the first one had {self.frame.shape[1:]}")
            self.frame[i] = picture


def read(count):
    parts = b""
    while len(parts) < count:
        part = os.read(down, count - len(parts))
        if not part:
            sys.exit()
        parts += part
    return parts


def number():
    return int.from_bytes(read(4), "little")


def answer(message=None):
    more = b"" if message is None else len(message).to_bytes(4, "little") + message
    line = b"K" + more
    while line:
        line = line[os.write(up, line):]


def serve(server):
    """Answers commands until the channel closes."""
    step, read_byte, write = server.stepper(), os.read, os.write
    while True:
        command = read_byte(down, 1)
        try:
            if command == b"S":
                step()
                write(up, b"K")
            elif command == b"R":
                server.reset()
                write(up, b"K")
            elif command == b"F":
                server.draw()
                write(up, b"K")
            elif command == b"I":
                answer(json.dumps([plain(info) for info in server.infos]).encode())
            elif command == b"O":
                copy = number()
                server.new_options[copy] = json.loads(read(number()))
                answer()
            elif command == b"G":
                answer(save(server.envs[number()]))
            elif command == b"P":
                copy = number()
                server.envs[copy] = pickle.loads(read(number()))
                answer()
            else:
                break
        except Exception as error:
            why = reason(error).encode(errors="replace")
            write(up, b"E" + len(why).to_bytes(4, "little") + why)
    for env in server.envs:
        env.close()


def main():
    lines = os.fdopen(down, "rb", buffering=0, closefd=False)
    hello = hear(lines)
    if (hello["protocol"], hello["version"]) != (PROTOCOL, VERSION):
        return tell({"error": f"asked for {hello['protocol']} {hello['version']}, this adapter speaks {PROTOCOL} {VERSION}"})
    try:
        global gym, np, spaces
        import gymnasium as gym
        import numpy as np
        from gymnasium import spaces

        settings = json.loads(sys.argv[1])
        for module in settings.get("import", []):
            found = importlib.import_module(module)
            if hasattr(gym, "register_envs"):
                gym.register_envs(found)
        server = Server(settings, hello)
    except ModuleNotFoundError as error:
        places = f"{os.getcwd()} and the packages of {sys.executable}"
        return tell({"error": f"{reason(error)}\nlooked for in {places} (`environment.gymnasium.python`)"})
    except Exception as error:
        return tell({"error": reason(error)})
    tell(server.card)
    try:
        server.attach(hear(lines))
    except Exception as error:
        return tell({"error": reason(error)})
    tell({"ready": True})
    serve(server)


if __name__ == "__main__":
    main()
