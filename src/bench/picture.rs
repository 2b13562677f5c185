//! Shapes become a file: SVG, or PNG with a font that the program carries with it, for machines that
//! have none. Only here is `plotters` known.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color as _, register_font};
use std::path::Path;

/// How a picture is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Lines and text.
    Svg,
    /// Points.
    Png,
}

impl Format {
    /// What the ending of a file's name says.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "svg" => Some(Self::Svg),
            "png" => Some(Self::Png),
            _ => None,
        }
    }

    /// How many points of the file one unit of the picture has: PNG is made for fine screens.
    fn scale(self) -> i32 {
        match self {
            Self::Svg => 1,
            Self::Png => 2,
        }
    }
}

/// Red, green, blue.
pub(super) type Color = (u8, u8, u8);

/// A place: from the left, from the top.
pub(super) type Point = (i32, i32);

/// Where the text begins, has its middle, or ends.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Left,
    Middle,
    Right,
}

/// Something to be drawn.
pub(super) enum Shape {
    Text { words: String, at: Point, size: i32, color: Color, side: Side },
    Line { points: Vec<Point>, color: Color, width: u32 },
    Bar { corners: [Point; 2], color: Color },
    Dot { at: Point, color: Color },
}

const FONT: &str = "sans-serif";

/// The picture as the contents of a file.
pub(super) fn draw(shapes: &[Shape], size: Point, format: Format) -> Result<Vec<u8>, String> {
    let known = register_font(FONT, FontStyle::Normal, dejavu::sans::regular());
    known.map_err(|_| "the font is broken".to_owned())?;
    let scale = format.scale();
    let size = ((size.0 * scale).cast_unsigned(), (size.1 * scale).cast_unsigned());
    match format {
        Format::Svg => {
            let mut text = String::new();
            put_all(shapes, scale, SVGBackend::with_string(&mut text, size))?;
            Ok(text.into_bytes())
        }
        Format::Png => {
            let mut points = vec![0; (size.0 * size.1 * 3) as usize];
            put_all(shapes, scale, BitMapBackend::with_buffer(&mut points, size))?;
            png(&points, size).map_err(|error| error.to_string())
        }
    }
}

fn png(points: &[u8], (width, height): (u32, u32)) -> Result<Vec<u8>, png::EncodingError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(points)?;
    writer.finish()?;
    Ok(file)
}

fn put_all<B: DrawingBackend>(shapes: &[Shape], scale: i32, backend: B) -> Result<(), String> {
    let area = backend.into_drawing_area();
    let drawn = area.fill(&WHITE).and_then(|()| {
        shapes.iter().try_for_each(|shape| put(&area, shape, scale))?;
        area.present()
    });
    drawn.map_err(|error| error.to_string())
}

fn put<B: DrawingBackend>(
    area: &DrawingArea<B, plotters::coord::Shift>,
    shape: &Shape,
    scale: i32,
) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let place = |&(x, y): &Point| (x * scale, y * scale);
    let paint = |&(red, green, blue): &Color| RGBColor(red, green, blue);
    match shape {
        Shape::Text { words, at, size, color, side } => {
            let side = match side {
                Side::Left => HPos::Left,
                Side::Middle => HPos::Center,
                Side::Right => HPos::Right,
            };
            let style = (FONT, size * scale).into_font().color(&paint(color));
            let style = style.pos(Pos::new(side, VPos::Center));
            area.draw(&Text::new(words.as_str(), place(at), style))
        }
        Shape::Line { points, color, width } => {
            let points: Vec<_> = points.iter().map(place).collect();
            let style = paint(color).stroke_width(width * scale.cast_unsigned());
            area.draw(&PathElement::new(points, style))
        }
        Shape::Bar { corners, color } => area
            .draw(&Rectangle::new([place(&corners[0]), place(&corners[1])], paint(color).filled())),
        Shape::Dot { at, color } => {
            area.draw(&Circle::new(place(at), 4 * scale, paint(color).filled()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ending_decides_the_format() {
        for (name, format) in [
            ("a.svg", Some(Format::Svg)),
            ("a.b.png", Some(Format::Png)),
            ("png", None),
            ("a.gif", None),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
    }

    #[test]
    fn text_in_svg_is_escaped() {
        let words = "a<b>&\"c".to_owned();
        let shape = Shape::Text { words, at: (9, 9), size: 9, color: (0, 0, 0), side: Side::Left };
        let text = String::from_utf8(draw(&[shape], (50, 50), Format::Svg).unwrap()).unwrap();
        assert!(text.contains("a&lt;b&gt;&amp;"), "{text}");
    }
}
