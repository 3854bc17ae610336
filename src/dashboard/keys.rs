//! Keys, and what they select.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What the lower part of the screen shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Panel {
    /// The most important of everything.
    #[default]
    Overview,
    /// The last events.
    Events,
    /// The messages.
    Log,
}

/// What the screen shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct View {
    /// The panel in its lower part.
    pub panel: Panel,
    /// One capture path alone, by its position; `None`: all side by side.
    pub path: Option<usize>,
    /// Whether the help is shown.
    pub help: bool,
    /// Whether the keys control the load.
    pub steers: bool,
}

/// What a key does besides changing the view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyAction {
    Pause,
    Faster,
    Slower,
    Begin,
    Quit,
}

impl View {
    /// Applies a key, with `paths` capture paths.
    pub(super) fn press(&mut self, key: KeyEvent, paths: usize) -> Option<KeyAction> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if is_control => return Some(KeyAction::Quit),
            KeyCode::Char('q') => return Some(KeyAction::Quit),
            KeyCode::Char('?' | 'h') => self.help = !self.help,
            KeyCode::Esc => self.help = false,
            KeyCode::Tab => self.panel = self.panel.next(),
            KeyCode::BackTab => self.panel = self.panel.next().next(),
            KeyCode::Right if paths > 1 => self.path = next(self.path, paths),
            KeyCode::Left if paths > 1 => self.path = previous(self.path, paths),
            KeyCode::Char(' ' | 'p') if self.steers => return Some(KeyAction::Pause),
            KeyCode::Char('+' | '=') | KeyCode::Up if self.steers => {
                return Some(KeyAction::Faster);
            }
            KeyCode::Char('b') if self.steers => return Some(KeyAction::Begin),
            KeyCode::Char('-' | '_') | KeyCode::Down if self.steers => {
                return Some(KeyAction::Slower);
            }
            _ => {}
        }
        None
    }
}

impl Panel {
    fn next(self) -> Self {
        match self {
            Self::Overview => Self::Events,
            Self::Events => Self::Log,
            Self::Log => Self::Overview,
        }
    }
}

/// All paths, then each alone.
fn next(path: Option<usize>, paths: usize) -> Option<usize> {
    match path {
        None => Some(0),
        Some(path) => (path + 1 < paths).then_some(path + 1),
    }
}

fn previous(path: Option<usize>, paths: usize) -> Option<usize> {
    match path {
        None => Some(paths - 1),
        Some(path) => path.checked_sub(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_switch_panels_and_paths_and_come_back() {
        let mut view = View::default();
        let mut press = |code: KeyCode| {
            let action = view.press(KeyEvent::new(code, KeyModifiers::NONE), 2);
            assert_eq!(action, None);
            view
        };
        assert_eq!(press(KeyCode::Tab).panel, Panel::Events);
        assert_eq!(press(KeyCode::BackTab).panel, Panel::Overview);
        assert_eq!(press(KeyCode::Right).path, Some(0));
        assert_eq!(press(KeyCode::Right).path, Some(1));
        assert_eq!(press(KeyCode::Right).path, None);
        assert_eq!(press(KeyCode::Left).path, Some(1));
        assert!(press(KeyCode::Char('?')).help);
        assert!(!press(KeyCode::Esc).help);
        // Without control of the load these do nothing.
        press(KeyCode::Char(' '));
        press(KeyCode::Char('+'));
        press(KeyCode::Char('b'));
    }

    #[test]
    fn keys_that_control_the_load_pause_it_change_its_rate_and_quit() {
        let mut view = View {
            steers: true,
            ..View::default()
        };
        let mut press = |code, modifiers| view.press(KeyEvent::new(code, modifiers), 1);
        let plain = KeyModifiers::NONE;
        assert_eq!(press(KeyCode::Char(' '), plain), Some(KeyAction::Pause));
        assert_eq!(press(KeyCode::Char('+'), plain), Some(KeyAction::Faster));
        assert_eq!(press(KeyCode::Char('-'), plain), Some(KeyAction::Slower));
        assert_eq!(press(KeyCode::Char('b'), plain), Some(KeyAction::Begin));
        assert_eq!(press(KeyCode::Char('q'), plain), Some(KeyAction::Quit));
        let control_c = press(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(control_c, Some(KeyAction::Quit));
        assert_eq!(press(KeyCode::Right, plain), None);
        assert_eq!(view.path, None, "there is one path");
    }
}
