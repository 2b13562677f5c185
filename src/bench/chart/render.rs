//! Renders shapes as an SVG or PNG file. Only this module uses `plotters`.
//!
//! Rendering to PNG needs a font. The font is built into the program, because the machine may not have one.

use plotters::prelude::*;
use plotters::style::register_font;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

/// The format of an image file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ImageFormat {
    /// Scalable Vector Graphics
    Svg,
    /// Portable Network Graphics
    Png,
}

impl ImageFormat {
    /// Returns the format that the extension of a file name selects; `None` for other extensions.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "svg" => Some(Self::Svg),
            "png" => Some(Self::Png),
            _ => None,
        }
    }

    /// Returns the number of pixels per unit. PNG has twice the resolution, for high-density screens.
    fn scale(self) -> i32 {
        match self {
            Self::Svg => 1,
            Self::Png => 2,
        }
    }
}

/// A colour: red, green, blue.
pub(super) type Rgb = (u8, u8, u8);

/// A position in units from the left and from the top, or a width and a height.
pub(super) type Point = (i32, i32);

/// The part of a text that is placed at the text's position.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// The size, colour and alignment of a text.
#[derive(Clone, Copy)]
pub(super) struct TextStyle {
    pub(super) size: i32,
    pub(super) color: Rgb,
    pub(super) anchor: Anchor,
}

/// The lengths of the dashes of a line and of the gaps between them; a continuous line has dashes of length 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Dashes {
    dash: i32,
    gap: i32,
}

impl Dashes {
    pub(super) const NONE: Self = Self { dash: 0, gap: 0 };
    pub(super) const ALL: [Self; 3] =
        [Self::NONE, Self { dash: 9, gap: 4 }, Self { dash: 3, gap: 3 }];

    /// Returns the parts of a line from one point to another one to its right.
    fn parts(self, from: Point, to: Point) -> Vec<[Point; 2]> {
        if self == Self::NONE {
            return vec![[from, to]];
        }
        let starts = (from.0..to.0).step_by((self.dash + self.gap) as usize);
        starts.map(|start| [(start, from.1), ((start + self.dash).min(to.0), to.1)]).collect()
    }
}

/// A part of a picture.
pub(super) enum Shape {
    Text {
        text: String,
        at: Point,
        style: TextStyle,
    },
    /// A line through the points. Only a horizontal line may have dashes.
    Line {
        points: Vec<Point>,
        color: Rgb,
        width: u32,
        dashes: Dashes,
    },
    Bar {
        corners: [Point; 2],
        color: Rgb,
    },
    Dot {
        at: Point,
        color: Rgb,
    },
}

const FONT: &str = "sans-serif";

/// Renders a picture and returns the contents of the image file.
pub(super) fn render(
    shapes: &[Shape],
    size: Point,
    format: ImageFormat,
) -> Result<Vec<u8>, String> {
    let registered = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
    registered.map_err(|_| "the font is invalid".to_owned())?;
    let scale = format.scale();
    let size = ((size.0 * scale).cast_unsigned(), (size.1 * scale).cast_unsigned());
    match format {
        ImageFormat::Svg => {
            let mut text = String::new();
            draw_all(shapes, scale, SVGBackend::with_string(&mut text, size))?;
            Ok(text.into_bytes())
        }
        ImageFormat::Png => {
            let mut pixels = vec![0; (size.0 * size.1 * 3) as usize];
            draw_all(shapes, scale, BitMapBackend::with_buffer(&mut pixels, size))?;
            encode_png(&pixels, size).map_err(|error| error.to_string())
        }
    }
}

fn encode_png(pixels: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(file)
}

fn draw_all<B: DrawingBackend>(shapes: &[Shape], scale: i32, backend: B) -> Result<(), String> {
    let area = backend.into_drawing_area();
    let drawn = area.fill(&WHITE).and_then(|()| {
        shapes.iter().try_for_each(|shape| draw_shape(&area, shape, scale))?;
        area.present()
    });
    drawn.map_err(|error| error.to_string())
}

fn draw_shape<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    shape: &Shape,
    scale: i32,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let scaled = |&(x, y): &Point| (x * scale, y * scale);
    let paint = |&(red, green, blue): &Rgb| RGBColor(red, green, blue);
    match shape {
        Shape::Text { text, at, style } => {
            let anchor = match style.anchor {
                Anchor::Start => HPos::Left,
                Anchor::Middle => HPos::Center,
                Anchor::End => HPos::Right,
            };
            // `plotters` divides the size by 1.24.
            let size = f64::from(style.size * scale) * 1.24;
            let font = (FONT, size).into_font().color(&paint(&style.color));
            let font = font.pos(Pos::new(anchor, VPos::Center));
            area.draw(&Text::new(text.as_str(), scaled(at), font))
        }
        Shape::Line { points, color, width, dashes } => {
            let style = paint(color).stroke_width(width * scale.cast_unsigned());
            let parts = match points[..] {
                [from, to] => dashes.parts(from, to).iter().map(|part| part.to_vec()).collect(),
                _ => vec![points.clone()],
            };
            parts.iter().try_for_each(|points| {
                area.draw(&PathElement::new(points.iter().map(scaled).collect::<Vec<_>>(), style))
            })
        }
        Shape::Bar { corners, color } => {
            let corners = [scaled(&corners[0]), scaled(&corners[1])];
            area.draw(&Rectangle::new(corners, paint(color).filled()))
        }
        Shape::Dot { at, color } => {
            area.draw(&Circle::new(scaled(at), 4 * scale, paint(color).filled()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_extension_decides_the_format() {
        for (name, format) in [
            ("a.svg", Some(ImageFormat::Svg)),
            ("a.b.png", Some(ImageFormat::Png)),
            ("png", None),
            ("a.gif", None),
        ] {
            assert_eq!(ImageFormat::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn text_in_svg_is_escaped() {
        let style = TextStyle { size: 9, color: (0, 0, 0), anchor: Anchor::Start };
        let shape = Shape::Text { text: "a<b>&\"c".to_owned(), at: (9, 9), style };
        let svg = render(&[shape], (50, 50), ImageFormat::Svg).unwrap();
        let svg = String::from_utf8(svg).unwrap();
        assert!(svg.contains("a&lt;b&gt;&amp;"), "{svg}");
    }
}
