//! Columns of Parquet: elements of spaces as pyarrow lays them out, arrays as lists and composite spaces as structures.

use std::path::Path;
use std::sync::Arc;

use fs_err as fs;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, DataType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use crate::env::{Dtype, Space};

/// A column, or a structure of several.
pub(super) struct Column {
    field: TypePtr,
    leaves: Vec<Leaf>,
}

/// What a file keeps in one piece.
struct Leaf {
    numbers: Numbers,
    /// How many numbers a row has, where it has a list of them.
    list: Option<usize>,
}

enum Numbers {
    Bool(Vec<bool>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
}

impl Column {
    /// Elements of a space, flat, one after another.
    pub(super) fn of_space(
        name: &str,
        space: &Space,
        elements: &[f32],
    ) -> Result<Self, ParquetError> {
        let mut leaves = Vec::new();
        let field = field(name, space, elements, (0, space.len()), &mut leaves)?;
        Ok(Self { field, leaves })
    }

    pub(super) fn doubles(name: &str, numbers: Vec<f64>) -> Result<Self, ParquetError> {
        let leaves = vec![Leaf { numbers: Numbers::Double(numbers), list: None }];
        Ok(Self { field: primitive(name, Physical::DOUBLE, None)?, leaves })
    }

    pub(super) fn bools(name: &str, numbers: Vec<bool>) -> Result<Self, ParquetError> {
        let leaves = vec![Leaf { numbers: Numbers::Bool(numbers), list: None }];
        Ok(Self { field: primitive(name, Physical::BOOLEAN, None)?, leaves })
    }
}

fn primitive(
    name: &str,
    physical: Physical,
    logical: Option<LogicalType>,
) -> Result<TypePtr, ParquetError> {
    let builder = Type::primitive_type_builder(name, physical);
    Ok(Arc::new(builder.with_repetition(Repetition::REQUIRED).with_logical_type(logical).build()?))
}

fn group(
    name: &str,
    repetition: Repetition,
    logical: Option<LogicalType>,
    fields: Vec<TypePtr>,
) -> Result<TypePtr, ParquetError> {
    let builder = Type::group_type_builder(name).with_repetition(repetition);
    Ok(Arc::new(builder.with_logical_type(logical).with_fields(fields).build()?))
}

/// The field of a space, whose numbers begin at `offset` of each element of `len`; adds its leaves.
fn field(
    name: &str,
    space: &Space,
    elements: &[f32],
    (offset, len): (usize, usize),
    leaves: &mut Vec<Leaf>,
) -> Result<TypePtr, ParquetError> {
    let byte = |is_signed| Some(LogicalType::integer(8, is_signed));
    let numbers = || {
        elements
            .chunks_exact(len)
            .flat_map(|element| element[offset..offset + space.len()].iter().copied())
    };
    let (physical, logical, numbers) = match space {
        Space::Tuple { .. } | Space::Dict { .. } => {
            let names: Vec<String> = match space {
                Space::Dict { spaces } => spaces.keys().cloned().collect(),
                _ => (0..space.parts().count()).map(|index| index.to_string()).collect(),
            };
            let mut offset = offset;
            let mut fields = Vec::new();
            for (name, part) in names.iter().zip(space.parts()) {
                fields.push(field(name, part, elements, (offset, len), leaves)?);
                offset += part.len();
            }
            return group(name, Repetition::REQUIRED, None, fields);
        }
        Space::Discrete { .. } | Space::MultiDiscrete { .. } => {
            (Physical::INT64, None, Numbers::Int64(numbers().map(|number| number as i64).collect()))
        }
        Space::MultiBinary { .. } => (
            Physical::INT32,
            byte(true),
            Numbers::Int32(numbers().map(|number| number as i32).collect()),
        ),
        Space::Box { dtype: Dtype::Uint8, .. } => (
            Physical::INT32,
            byte(false),
            Numbers::Int32(numbers().map(|number| number as i32).collect()),
        ),
        Space::Box { dtype: Dtype::Float32, .. } => {
            (Physical::FLOAT, None, Numbers::Float(numbers().collect()))
        }
    };
    if let Space::Discrete { .. } = space {
        leaves.push(Leaf { numbers, list: None });
        return primitive(name, physical, logical);
    }
    leaves.push(Leaf { numbers, list: Some(space.len()) });
    let element = primitive("element", physical, logical)?;
    let list = group("list", Repetition::REPEATED, None, vec![element])?;
    group(name, Repetition::REQUIRED, Some(LogicalType::List), vec![list])
}

/// Writes columns of equally many rows into a file.
///
/// # Errors
/// Fails if the file cannot be written; its name is part of the message.
pub(super) fn write(path: &Path, columns: &[Column]) -> anyhow::Result<()> {
    let file = fs::File::create(path)?;
    let write = || -> Result<(), ParquetError> {
        let fields = columns.iter().map(|column| column.field.clone()).collect();
        let schema = group("schema", Repetition::REPEATED, None, fields)?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut writer = SerializedFileWriter::new(file, schema, Arc::new(properties))?;
        let mut row_group = writer.next_row_group()?;
        for leaf in columns.iter().flat_map(|column| &column.leaves) {
            let Some(mut column) = row_group.next_column()? else { break };
            match &leaf.numbers {
                Numbers::Bool(numbers) => put::<BoolType>(&mut column, numbers, leaf.list),
                Numbers::Int32(numbers) => put::<Int32Type>(&mut column, numbers, leaf.list),
                Numbers::Int64(numbers) => put::<Int64Type>(&mut column, numbers, leaf.list),
                Numbers::Float(numbers) => put::<FloatType>(&mut column, numbers, leaf.list),
                Numbers::Double(numbers) => put::<DoubleType>(&mut column, numbers, leaf.list),
            }?;
            column.close()?;
        }
        row_group.close()?;
        writer.close()?;
        Ok(())
    };
    write().map_err(|error| match error {
        // What failed to be written, which names the file itself.
        ParquetError::External(cause) => anyhow::Error::from_boxed(cause),
        error => anyhow::Error::new(error).context(path.display().to_string()),
    })
}

fn put<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    numbers: &[T::T],
    list: Option<usize>,
) -> Result<usize, ParquetError> {
    let column = column.typed::<T>();
    let Some(len) = list else { return column.write_batch(numbers, None, None) };
    // Every number is there; the first of a row begins a new list.
    let there = vec![1; numbers.len()];
    let repeated: Vec<i16> = (0..numbers.len()).map(|index| i16::from(index % len != 0)).collect();
    column.write_batch(numbers, Some(&there), Some(&repeated))
}
