//! Masks of actions: which actions are valid in a state.

use crate::environment::{Env, EnvError};

/// The mask of the present state ([`Env::action_mask`]): a flag for each value of a discrete action, of an action of
/// several parts those of each part, one part after another.
///
/// # Errors
/// [`EnvError::ActionMask`] where the environment tells no mask, one of another length, or one that allows no value of
/// some part; the failure of the process where it runs in another one.
pub fn valid_actions(env: &dyn Env) -> Result<Vec<bool>, EnvError> {
    let mask = env.action_mask();
    if let Some(failure) = env.failure() {
        return Err(failure);
    }
    let Some(mask) = mask else {
        return Err(EnvError::ActionMask("none in its `info`".into()));
    };
    let nvec = env.action_space().discrete_parts().unwrap_or_default();
    let flags: usize = nvec.iter().sum();
    if mask.len() != flags {
        let space = env.action_space();
        let message = format!("{} flags, where {space} has {flags} values", mask.len());
        return Err(EnvError::ActionMask(message));
    }
    let mut rest = &mask[..];
    for n in nvec {
        let (part, others) = rest.split_at(n);
        rest = others;
        if !part.contains(&true) {
            return Err(EnvError::ActionMask("one that allows no action".into()));
        }
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::mask_of;
    use crate::registry::find;
    use crate::spec::Options;

    #[test]
    fn taxi_tells_its_mask_and_frozen_lake_has_none() {
        let make = |id: &str| {
            let mut env =
                (find(id).expect("in the table").make)(&Options::new()).expect("no options");
            env.reset(Some(0)).expect("a start");
            env
        };
        for id in ["Taxi-v3", "Taxi-v4"] {
            let taxi = make(id);
            let mask = valid_actions(&*taxi).expect("a mask");
            assert_eq!(Some(mask), mask_of(&taxi.info()));
        }
        let error = valid_actions(&*make("FrozenLake-v1")).expect_err("no mask").to_string();
        assert_eq!(error, "expected an action mask of the environment, found none in its `info`");
    }
}
