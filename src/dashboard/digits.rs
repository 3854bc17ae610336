//! Large digits, three lines high, to be read from the back of a room.

use ratatui::buffer::Buffer;
use ratatui::style::Style;

/// Lines of a digit.
pub(super) const HEIGHT: u16 = 3;
/// Dots of a digit: five rows of three, the top row first.
type Glyph = [u8; 5];

const DIGITS: [Glyph; 10] = [
    [0b111, 0b101, 0b101, 0b101, 0b111],
    [0b010, 0b110, 0b010, 0b010, 0b111],
    [0b111, 0b001, 0b111, 0b100, 0b111],
    [0b111, 0b001, 0b111, 0b001, 0b111],
    [0b101, 0b101, 0b111, 0b001, 0b001],
    [0b111, 0b100, 0b111, 0b001, 0b111],
    [0b111, 0b100, 0b111, 0b101, 0b111],
    [0b111, 0b001, 0b001, 0b001, 0b001],
    [0b111, 0b101, 0b111, 0b101, 0b111],
    [0b111, 0b101, 0b111, 0b001, 0b111],
];
const DASH: Glyph = [0, 0, 0b111, 0, 0];
const POINT: Glyph = [0, 0, 0, 0, 0b1];

/// The glyph of a character and its width in dots.
fn glyph(c: char) -> (Glyph, u16) {
    match c {
        '.' => (POINT, 1),
        '-' | '–' => (DASH, 3),
        c => {
            let digit = c.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
            digit.map_or(([0; 5], 1), |digit| (DIGITS[digit], 3))
        }
    }
}

/// Width of a number, columns.
pub(super) fn width(text: &str) -> u16 {
    let dots: u16 = text.chars().map(|c| glyph(c).1 + 1).sum();
    dots.saturating_sub(1)
}

/// Draws a number with its upper left corner at `(x, y)`, two dots a character.
pub(super) fn draw(buffer: &mut Buffer, (x, y): (u16, u16), text: &str, style: Style) {
    let mut left = x;
    for c in text.chars() {
        let (rows, width) = glyph(c);
        for (line, top) in (0..HEIGHT).zip([0, 2, 4]) {
            for column in 0..width {
                let is_set = |row: usize| {
                    let bits = rows.get(row).copied().unwrap_or_default();
                    bits >> (width - 1 - column) & 1 == 1
                };
                let dot = match (is_set(top), is_set(top + 1)) {
                    (true, true) => "█",
                    (true, false) => "▀",
                    (false, true) => "▄",
                    (false, false) => continue,
                };
                if let Some(cell) = buffer.cell_mut((left + column, y + line)) {
                    cell.set_symbol(dot).set_style(style);
                }
            }
        }
        left += width + 1;
    }
}

#[cfg(test)]
mod tests {
    use ratatui::layout::Rect;

    use super::*;

    #[test]
    fn a_figure_is_legible_and_as_wide_as_it_says() {
        let text = "12.7";
        let mut buffer = Buffer::empty(Rect::new(0, 0, width(text), HEIGHT));
        draw(&mut buffer, (0, 0), text, Style::new());
        let lines: Vec<String> = buffer
            .content
            .chunks(usize::from(width(text)))
            .map(|line| line.iter().map(|cell| cell.symbol()).collect())
            .collect();
        assert_eq!(lines, ["▄█  ▀▀█   ▀▀█", " █  █▀▀     █", "▀▀▀ ▀▀▀ ▀   ▀"]);
    }
}
