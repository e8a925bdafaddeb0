"""PPO in one file, in the style of CleanRL, with what rushes wants to know; goes on exactly where it was killed."""
import gymnasium
import numpy as np
import rushes_trainer
import torch
from torch import nn
from torch.distributions import Categorical

torch.set_num_threads(1)  # rushes runs a trial on each core


def layer(inputs, outputs, gain):
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


def network(inputs, outputs, gain):
    hidden = 2**0.5
    return nn.Sequential(
        layer(inputs, 64, hidden), nn.Tanh(), layer(64, 64, hidden), nn.Tanh(), layer(64, outputs, gain))


def greedy(actor):
    return lambda observation: int(actor(torch.as_tensor(observation)).argmax())


def restart(envs, seed):
    """New episodes everywhere: what a training that was resumed here starts with, too."""
    return np.stack([env.reset(seed=seed + i)[0] for i, env in enumerate(envs)])


with rushes_trainer.start(f"single file, torch {torch.__version__}", resumable=True) as run:
    s = run.settings
    torch.manual_seed(run.seed)
    envs = [gymnasium.wrappers.RecordEpisodeStatistics(run.make_env()) for _ in range(s["n_envs"])]
    inputs, actions = envs[0].observation_space.shape[0], int(envs[0].action_space.n)
    actor, critic = network(inputs, actions, 0.01), network(inputs, 1, 1.0)
    parameters = [*actor.parameters(), *critic.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=s["learning_rate"], eps=1e-5)
    if run.resume:
        saved = torch.load(run.resume["path"], weights_only=True)
        actor.load_state_dict(saved["actor"])
        critic.load_state_dict(saved["critic"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["rng"])
    else:
        run.film(greedy(actor), "before")
        run.evaluate(greedy(actor), "before")

    seed = run.seed * 1_000_003
    observations = restart(envs, seed + run.steps)
    while not run.should_stop:
        shape = (s["n_steps"], s["n_envs"])
        seen = torch.zeros(*shape, inputs)
        acts, log_probs, rewards, values, nexts, ends = (torch.zeros(shape) for _ in range(6))
        for t in range(s["n_steps"]):
            seen[t] = torch.as_tensor(observations)
            with torch.no_grad():
                policy = Categorical(logits=actor(seen[t]))
                acts[t] = policy.sample()
                log_probs[t] = policy.log_prob(acts[t])
                values[t] = critic(seen[t]).squeeze(-1)
            run.steps += len(envs)
            terminations, following = [], []
            for i, env in enumerate(envs):
                after, reward, terminated, truncated, info = env.step(int(acts[t, i]))
                rewards[t, i], ends[t, i] = float(reward), terminated or truncated
                terminations.append(terminated)
                following.append(after)
                if terminated or truncated:
                    episode = info["episode"]
                    run.episode(episode["r"], episode["l"], not terminated, steps=run.steps)
                    after, _ = env.reset()
                observations[i] = after
            with torch.no_grad():  # the value of what follows, also where a time limit ended the episode
                value = critic(torch.as_tensor(np.stack(following))).squeeze(-1)
            nexts[t] = value * (1.0 - torch.tensor(terminations, dtype=torch.float32))

        advantages, advantage = torch.zeros(shape), torch.zeros(s["n_envs"])
        for t in reversed(range(s["n_steps"])):
            delta = rewards[t] + s["gamma"] * nexts[t] - values[t]
            advantage = delta + s["gamma"] * s["gae_lambda"] * (1.0 - ends[t]) * advantage
            advantages[t] = advantage
        returns = advantages + values
        batch = [x.flatten(0, 1) for x in (seen, acts, log_probs, advantages, returns)]

        losses = {}
        for _ in range(s["n_epochs"]):
            for index in torch.randperm(len(batch[0])).split(s["batch_size"]):
                x, a, old, adv, ret = (part[index] for part in batch)
                adv = (adv - adv.mean()) / (adv.std() + 1e-8)
                policy = Categorical(logits=actor(x))
                ratio = (policy.log_prob(a) - old).exp()
                policy_loss = -torch.min(ratio * adv, ratio.clamp(0.8, 1.2) * adv).mean()
                value_loss = (critic(x).squeeze(-1) - ret).square().mean()
                optimizer.zero_grad()
                (policy_loss + 0.5 * value_loss).backward()
                nn.utils.clip_grad_norm_(parameters, 0.5)
                optimizer.step()
        losses = {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": policy.entropy().mean()}
        if run.due("log_every"):
            run.metrics({name: loss.item() for name, loss in losses.items()})
        if run.due("evaluate_every"):
            run.evaluate(greedy(actor), "during")
        if run.checkpoint_due:
            path = run.new_checkpoint()
            torch.save({"actor": actor.state_dict(), "critic": critic.state_dict(),
                        "optimizer": optimizer.state_dict(), "rng": torch.get_rng_state()}, path)
            run.checkpoint(path)
            observations = restart(envs, seed + run.steps)

    run.evaluate(greedy(actor))
    run.film(greedy(actor))
    torch.save(actor.state_dict(), run.directory / "actor.pt")
    run.policy(run.directory / "actor.pt")
