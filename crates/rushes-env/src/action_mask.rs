//! Masks of actions: which actions are valid in a state.

use serde_json::Value;

use crate::environment::{Env, EnvError, Info};

/// The entry of `info` that holds the mask, as in Gymnasium's Taxi.
const ACTION_MASK: &str = "action_mask";

/// The mask that `info` holds under `action_mask`: a list of booleans or of 0 and 1, or for actions of several parts a
/// list of such lists. `None` where there is none, or another value.
pub(crate) fn of_info(info: &Info) -> Option<Vec<bool>> {
    let mut mask = Vec::new();
    flatten(info.get(ACTION_MASK)?, &mut mask).then_some(mask)
}

/// Appends the flags of `value`, and says whether there was nothing else in it.
fn flatten(value: &Value, mask: &mut Vec<bool>) -> bool {
    match value {
        Value::Array(values) => values.iter().all(|value| flatten(value, mask)),
        Value::Bool(valid) => {
            mask.push(*valid);
            true
        }
        Value::Number(number) if [Some(0.0), Some(1.0)].contains(&number.as_f64()) => {
            mask.push(number.as_f64() == Some(1.0));
            true
        }
        _ => false,
    }
}

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
    use serde_json::json;

    use super::*;
    use crate::registry::find;
    use crate::spec::Options;

    #[test]
    fn masks_are_flags_or_lists_of_them() {
        let of = |mask: Value| of_info(&Info::from_iter([(ACTION_MASK.to_owned(), mask)]));
        assert_eq!(of(json!([0, 1, 1.0])), Some(vec![false, true, true]));
        assert_eq!(of(json!([[true, false], [1]])), Some(vec![true, false, true]));
        for other in [json!([0, 2]), json!("01"), json!([null]), json!({})] {
            assert_eq!(of(other.clone()), None, "{other}");
        }
        assert_eq!(of_info(&Info::new()), None);
    }

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
            assert_eq!(Some(mask), of_info(&taxi.info()));
        }
        let error = valid_actions(&*make("FrozenLake-v1")).expect_err("no mask").to_string();
        assert_eq!(error, "expected an action mask of the environment, found none in its `info`");
    }
}
