//! Colours that colour-blind people can tell apart, or none where none are wanted.

use ratatui::style::{Color, Modifier, Style};

// Okabe and Ito's palette, in the nearest of the 256 colours that every terminal has.
const SKY_BLUE: Color = Color::Indexed(74);
const BLUISH_GREEN: Color = Color::Indexed(36);
const ORANGE: Color = Color::Indexed(214);
const VERMILLION: Color = Color::Indexed(202);

/// Styles. Nothing is told by colour alone: highlights are bold or reversed, and lights differ in shape.
#[derive(Debug, Clone, Copy)]
pub struct Theme {
    has_colours: bool,
}

impl Theme {
    /// As the environment asks: no colours with `NO_COLOR`.
    #[must_use]
    pub fn of_environment() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            has_colours: !unwanted,
        }
    }

    /// With colours or without.
    #[must_use]
    pub fn new(has_colours: bool) -> Self {
        Self { has_colours }
    }

    fn colour(self, colour: Color) -> Style {
        if self.has_colours {
            Style::new().fg(colour)
        } else {
            Style::new()
        }
    }

    pub(super) fn plain(self) -> Style {
        Style::new()
    }

    pub(super) fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    pub(super) fn calm(self) -> Style {
        self.colour(SKY_BLUE)
    }

    pub(super) fn good(self) -> Style {
        self.colour(BLUISH_GREEN)
    }

    pub(super) fn bad(self) -> Style {
        self.colour(VERMILLION).add_modifier(Modifier::BOLD)
    }

    /// The slowest of several.
    pub(super) fn lit(self) -> Style {
        self.colour(ORANGE).add_modifier(Modifier::BOLD)
    }

    /// Text on a background of its colour.
    pub(super) fn badge(self, style: Style) -> Style {
        style.add_modifier(Modifier::REVERSED | Modifier::BOLD)
    }
}
