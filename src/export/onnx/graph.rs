//! A graph of operators in the making.

use bytemuck::NoUninit;

use super::proto::{
    Attribute, AttributeType, DataType, Dimension, Graph, Node, Shape, Tensor, TensorType, Type,
    ValueInfo,
};

/// The number of observations in a batch, as graphs call it.
const BATCH: &str = "batch";

/// A graph in the making. Values go by their names.
#[derive(Default)]
pub(super) struct Builder {
    graph: Graph,
}

/// An argument of an operator.
pub(super) enum Argument {
    Float(f32),
    Int(i64),
    Ints(Vec<i64>),
}

impl Builder {
    /// An input of the graph: a batch of this shape.
    pub(super) fn input(&mut self, name: &str, dtype: DataType, shape: &[usize], doc: &str) {
        self.graph.input.push(value(name, dtype, &batch_of(shape), doc));
    }

    /// Makes `from` an output of the graph called `name`, a batch of this shape.
    pub(super) fn output(
        &mut self,
        from: &str,
        name: &str,
        dtype: DataType,
        shape: &[usize],
        doc: &str,
    ) {
        self.node("Identity", &[from], name, &[]);
        self.graph.output.push(value(name, dtype, &batch_of(shape), doc));
    }

    /// A constant; gives its name.
    pub(super) fn constant<T: NoUninit>(
        &mut self,
        name: &str,
        dtype: DataType,
        shape: &[usize],
        values: &[T],
    ) -> String {
        self.graph.initializer.push(Tensor {
            dims: shape.iter().map(|&side| side as i64).collect(),
            data_type: dtype as i32,
            name: name.to_owned(),
            // Little-endian, as every machine is that this program is built for.
            raw_data: bytemuck::cast_slice(values).to_vec(),
        });
        name.to_owned()
    }

    /// Applies an operator; gives the name of its result.
    pub(super) fn apply(
        &mut self,
        operator: &str,
        inputs: &[&str],
        arguments: &[(&str, Argument)],
    ) -> String {
        let name = format!("{}_{}", operator.to_lowercase(), self.graph.node.len());
        self.node(operator, inputs, &name, arguments);
        name
    }

    /// The same value as another type.
    pub(super) fn cast(&mut self, value: &str, to: DataType) -> String {
        self.apply("Cast", &[value], &[("to", Argument::Int(to as i64))])
    }

    fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        output: &str,
        arguments: &[(&str, Argument)],
    ) {
        let attribute = arguments.iter().map(|(name, argument)| {
            let name = (*name).to_owned();
            let (r#type, value) = match argument {
                Argument::Float(f) => {
                    (AttributeType::Float, Attribute { f: Some(*f), ..Attribute::default() })
                }
                Argument::Int(i) => {
                    (AttributeType::Int, Attribute { i: Some(*i), ..Attribute::default() })
                }
                Argument::Ints(ints) => {
                    (AttributeType::Ints, Attribute { ints: ints.clone(), ..Attribute::default() })
                }
            };
            Attribute { name, r#type: r#type as i32, ..value }
        });
        self.graph.node.push(Node {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![output.to_owned()],
            name: format!("make_{output}"),
            op_type: operator.to_owned(),
            attribute: attribute.collect(),
        });
    }

    /// The whole graph.
    pub(super) fn finish(self, name: &str) -> Graph {
        Graph { name: name.to_owned(), ..self.graph }
    }
}

fn batch_of(shape: &[usize]) -> Vec<Dimension> {
    let batch = Dimension { dim_value: None, dim_param: Some(BATCH.to_owned()) };
    let side = |&side: &usize| Dimension { dim_value: Some(side as i64), dim_param: None };
    std::iter::once(batch).chain(shape.iter().map(side)).collect()
}

fn value(name: &str, dtype: DataType, shape: &[Dimension], doc: &str) -> ValueInfo {
    let shape = Shape { dim: shape.to_vec() };
    let tensor_type = TensorType { elem_type: dtype as i32, shape: Some(shape) };
    ValueInfo {
        name: name.to_owned(),
        r#type: Some(Type { tensor_type: Some(tensor_type) }),
        doc_string: doc.to_owned(),
    }
}
