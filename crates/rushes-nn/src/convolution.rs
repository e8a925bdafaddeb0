//! Convolutional networks: what they are, whatever engine computes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::network::{HIDDEN_GAIN, MlpConfig, TensorInfo};
use super::scalar::Scalar;
use rushes_rng::Rng;

/// A convolutional layer: square kernels without padding, followed by the network's activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConvolutionSpec {
    /// How many kernels, which is how many channels come out.
    #[schemars(range(min = 1, max = 1024))]
    pub channels: usize,
    /// Side of a kernel in pixels.
    #[schemars(range(min = 1, max = 64))]
    pub kernel: usize,
    /// Pixels from one place of a kernel to the next.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 64))]
    pub stride: usize,
}

fn one() -> usize {
    1
}

/// Channels, height and width of what a convolution looks at.
pub type ImageShape = [usize; 3];

/// How the numbers of an observation make a picture: frame by frame, in each row by row, in each pixel by pixel, and in
/// each channel by channel. A convolution sees every channel of every frame as a channel of its own, frame by frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// How many frames; or how many channels, where each is an array of its own.
    pub frames: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// Numbers of a pixel that stand side by side.
    pub channels: usize,
}

impl Picture {
    /// The picture that an array of this shape holds; `None` where it has other than two to four dimensions. A last
    /// dimension of 1, 3 or 4 after two others or more is the channels, as Gymnasium's pictures have them; else they
    /// come first, as PyTorch has them. A dimension before them is that of a stack's frames.
    pub fn of(shape: &[usize]) -> Option<Self> {
        let picture = |frames, height, width, channels| Self { frames, height, width, channels };
        match *shape {
            [height, width] => Some(picture(1, height, width, 1)),
            [height, width, channels @ (1 | 3 | 4)] => Some(picture(1, height, width, channels)),
            [channels, height, width] => Some(picture(channels, height, width, 1)),
            [frames, height, width, channels @ (1 | 3 | 4)] => {
                Some(picture(frames, height, width, channels))
            }
            [frames, channels, height, width] => Some(picture(frames * channels, height, width, 1)),
            _ => None,
        }
    }

    /// What the first convolution sees of it.
    pub fn image(&self) -> ImageShape {
        [self.frames * self.channels, self.height, self.width]
    }
}

impl From<ImageShape> for Picture {
    fn from([channels, height, width]: ImageShape) -> Self {
        Self { frames: channels, height, width, channels: 1 }
    }
}

impl ConvolutionSpec {
    /// The shape of what comes out where `image` comes in; `None` where the kernel does not fit into it.
    pub fn output(&self, image: ImageShape) -> Option<ImageShape> {
        let [_, height, width] = image;
        let places = |side: usize| Some(side.checked_sub(self.kernel)? / self.stride + 1);
        Some([self.channels, places(height)?, places(width)?])
    }

    /// Numbers that a unit of this layer sees of a picture with so many channels.
    pub fn inputs(&self, channels: usize) -> usize {
        channels * self.kernel * self.kernel
    }
}

/// A convolutional network: convolutions, then a multi-layer perceptron on all their numbers, with the same
/// activation and initialisation throughout. Dropout, where there is any, is the perceptron's.
#[derive(Debug, Clone, PartialEq)]
pub struct CnnConfig {
    /// The shape of an observation.
    pub picture: Picture,
    /// The convolutional layers, first to last.
    pub convolutions: Vec<ConvolutionSpec>,
    /// What follows them. Its inputs are the last convolution's numbers.
    pub mlp: MlpConfig,
}

impl CnnConfig {
    /// `mlp` behind `convolutions` that look at `picture`; its inputs are set to what they give.
    ///
    /// # Panics
    /// Panics if a kernel does not fit into its picture.
    pub fn new(picture: Picture, convolutions: &[ConvolutionSpec], mlp: MlpConfig) -> Self {
        let features = convolutions.iter().fold(picture.image(), |image, convolution| {
            convolution.output(image).expect("kernels that fit into their pictures")
        });
        Self {
            picture,
            convolutions: convolutions.to_vec(),
            mlp: MlpConfig { inputs: features.iter().product(), ..mlp },
        }
    }

    /// The tensors inside the flat parameters, named as in a PyTorch `nn.Sequential` of Conv2d and
    /// activation modules, a Flatten, and then those of [`MlpConfig::layout`].
    pub fn layout(&self) -> Vec<TensorInfo> {
        let (mut channels, mut offset) = (self.picture.image()[0], 0);
        let mut layout = Vec::new();
        for (i, convolution) in self.convolutions.iter().enumerate() {
            let side = convolution.kernel;
            let shape = vec![convolution.channels, channels, side, side];
            layout.extend(TensorInfo::layer(2 * i, shape, offset));
            channels = convolution.channels;
            offset += (convolution.inputs(layout[2 * i].shape[1]) + 1) * channels;
        }
        layout.extend(self.mlp.layout_from(2 * self.convolutions.len() + 1, offset));
        layout
    }

    /// Draws initial parameters, as PyTorch, Keras and orthogonal initialisation do it for a convolution:
    /// its kernels are the rows of a matrix with a column for each number that they see.
    pub fn initial_parameters<T: Scalar>(&self, rng: &mut Rng) -> Vec<T> {
        let mut parameters = Vec::new();
        let mut channels = self.picture.image()[0];
        for convolution in &self.convolutions {
            let (inputs, units) = (convolution.inputs(channels), convolution.channels);
            let fan_out = convolution.inputs(units);
            let initialisation = self.mlp.initialisation;
            initialisation.draw(inputs, units, fan_out, HIDDEN_GAIN, rng, &mut parameters);
            channels = units;
        }
        parameters.extend(self.mlp.initial_parameters::<T>(rng));
        parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_the_last_dimension_of_1_3_or_4_else_the_first() {
        for (shape, image) in [
            (&[84, 80][..], Some([1, 84, 80])),
            (&[210, 160, 3], Some([3, 210, 160])),
            (&[84, 84, 1], Some([1, 84, 84])),
            (&[3, 84, 80], Some([3, 84, 80])),
            (&[4, 84, 80], Some([4, 84, 80])),
            (&[4, 96, 90, 3], Some([12, 96, 90])),
            (&[4, 3, 96, 90], Some([12, 96, 90])),
            (&[128], None),
            (&[2, 2, 2, 2, 2], None),
        ] {
            assert_eq!(Picture::of(shape).map(|picture| picture.image()), image, "{shape:?}");
        }
    }
}
