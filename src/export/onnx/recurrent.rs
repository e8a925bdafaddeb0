//! Recurrent layers as operators of one step: the state comes in beside the observation and goes out beside the action.
//!
//! onnxruntime's own LSTM and GRU compute in single precision alone, in another order of gates, and whole sequences.

use super::Exporter;
use super::graph::Argument;
use super::proto::DataType;
use crate::nn::{Cell, RecurrentSpec};

impl Exporter<'_> {
    /// What the recurrent layers of module `module` make of `value`, with the model's input `state` and its output
    /// `next_state`: the hidden state of each layer and behind it, of an LSTM, its cell state.
    pub(super) fn recurrent(
        &mut self,
        value: &str,
        inputs: usize,
        recurrent: RecurrentSpec,
        module: usize,
    ) -> anyhow::Result<String> {
        let RecurrentSpec { cell, hidden_size: hidden, num_layers } = recurrent;
        let shape = [num_layers * cell.states(), hidden];
        let doc = "next_state of the step before, zeros where an episode begins";
        self.graph.input("state", self.dtype, &shape, doc);
        let (mut value, mut next) = (value.to_owned(), Vec::new());
        for layer in 0..num_layers {
            let seen = if layer == 0 { inputs } else { hidden };
            let name = |part: &str| format!("{module}.{part}_l{layer}");
            let parts: Vec<String> = (0..cell.states())
                .map(|part| {
                    let index = (layer * cell.states() + part) as i64;
                    let name = format!("state_{index}");
                    let index = self.graph.constant(&name, DataType::Int64, &[], &[index]);
                    self.graph.apply("Gather", &["state", &index], &[("axis", Argument::Int(1))])
                })
                .collect();
            let by_input =
                self.gates(&value, [&name("weight_ih"), &name("bias_ih")], [seen, hidden], cell)?;
            let by_hidden = self.gates(
                &parts[0],
                [&name("weight_hh"), &name("bias_hh")],
                [hidden, hidden],
                cell,
            )?;
            let states = match cell {
                Cell::Lstm => self.lstm(&by_input, &by_hidden, &parts[1]),
                Cell::Gru => self.gru(&by_input, &by_hidden, &parts[0]),
            };
            value = states[0].clone();
            for state in states {
                let place = format!("next_state_{}", next.len());
                next.push(self.reshape(&state, &place, &[1, hidden]));
            }
        }
        let parts: Vec<&str> = next.iter().map(String::as_str).collect();
        let next = self.graph.apply("Concat", &parts, &[("axis", Argument::Int(1))]);
        self.graph.output(&next, "next_state", self.dtype, &shape, "for the next step's `state`");
        Ok(value)
    }

    /// What `value` gives to each gate by its own rows of a weight and a bias.
    fn gates(
        &mut self,
        value: &str,
        [weight, bias]: [&str; 2],
        [inputs, hidden]: [usize; 2],
        cell: Cell,
    ) -> anyhow::Result<Vec<String>> {
        let rows = cell.gates() * hidden;
        let weights = self.learned(weight, &[rows, inputs])?;
        let biases = self.learned(bias, &[rows])?;
        let parts = weights.chunks_exact(hidden * inputs).zip(biases.chunks_exact(hidden));
        let gates = parts.enumerate().map(|(gate, (weights, biases))| {
            let weight = self.numbers(&format!("{weight}.{gate}"), &[hidden, inputs], weights);
            let bias = self.numbers(&format!("{bias}.{gate}"), &[hidden], biases);
            let transposed = [("transB", Argument::Int(1))];
            self.graph.apply("Gemm", &[value, &weight, &bias], &transposed)
        });
        Ok(gates.collect())
    }

    /// Hidden and cell state after a step.
    fn lstm(&mut self, by_input: &[String], by_hidden: &[String], cells: &str) -> Vec<String> {
        let functions = ["Sigmoid", "Sigmoid", "Tanh", "Sigmoid"];
        let pairs = by_input.iter().zip(by_hidden).zip(functions);
        let gates: Vec<String> = pairs
            .map(|((by_input, by_hidden), function)| {
                let sum = self.graph.apply("Add", &[by_input, by_hidden], &[]);
                self.graph.apply(function, &[&sum], &[])
            })
            .collect();
        let kept = self.graph.apply("Mul", &[&gates[1], cells], &[]);
        let new = self.graph.apply("Mul", &[&gates[0], &gates[2]], &[]);
        let cells = self.graph.apply("Add", &[&kept, &new], &[]);
        let shown = self.graph.apply("Tanh", &[&cells], &[]);
        vec![self.graph.apply("Mul", &[&gates[3], &shown], &[]), cells]
    }

    /// The hidden state after a step.
    fn gru(&mut self, by_input: &[String], by_hidden: &[String], hidden: &str) -> Vec<String> {
        let [reset, update] = [0, 1].map(|gate| {
            let sum = self.graph.apply("Add", &[&by_input[gate], &by_hidden[gate]], &[]);
            self.graph.apply("Sigmoid", &[&sum], &[])
        });
        let candidate = self.graph.apply("Mul", &[&reset, &by_hidden[2]], &[]);
        let sum = self.graph.apply("Add", &[&by_input[2], &candidate], &[]);
        let new = self.graph.apply("Tanh", &[&sum], &[]);
        let difference = self.graph.apply("Sub", &[hidden, &new], &[]);
        let kept = self.graph.apply("Mul", &[&update, &difference], &[]);
        vec![self.graph.apply("Add", &[&new, &kept], &[])]
    }
}
