"""A policy for the tests: balances the pole of CartPole, or fails as its options say."""

import rushes_policy


def act(observation, greedy):
    if rushes_policy.options.get("fault") == "exception":
        raise ValueError("the pole is too long")
    if rushes_policy.options.get("fault") == "outside":
        return 2
    print("the pole leans", observation[2])
    return int(observation[2] + observation[3] > 0)


rushes_policy.serve(act)
