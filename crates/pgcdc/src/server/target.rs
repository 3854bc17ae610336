//! Which of several servers is wanted: libpq's `target_session_attrs`.

/// libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SessionTarget {
    /// The first that answers.
    #[default]
    Any,
    /// One whose transactions may write.
    ReadWrite,
    /// One whose transactions may not.
    ReadOnly,
    /// One that is no standby.
    Primary,
    /// A standby.
    Standby,
    /// A standby; where none answers, any.
    PreferStandby,
}

/// What is wanted of a server's sessions.
#[derive(Clone, Copy)]
pub(crate) struct SessionState {
    pub(crate) is_standby: bool,
    pub(crate) is_read_only: bool,
}

impl SessionTarget {
    /// libpq's words.
    pub(crate) const NAMES: &'static str =
        "any, read-write, read-only, primary, standby and prefer-standby";

    const ALL: [Self; 6] = [
        Self::Any,
        Self::ReadWrite,
        Self::ReadOnly,
        Self::Primary,
        Self::Standby,
        Self::PreferStandby,
    ];

    /// libpq's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::PreferStandby => "prefer-standby",
        }
    }

    /// The target of libpq's word.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.word() == word)
    }

    pub(crate) fn accepts(self, state: SessionState) -> bool {
        match self {
            Self::Any => true,
            Self::ReadWrite => !state.is_read_only && !state.is_standby,
            Self::ReadOnly => state.is_read_only || state.is_standby,
            Self::Primary => !state.is_standby,
            Self::Standby | Self::PreferStandby => state.is_standby,
        }
    }

    /// What a server is that is not accepted.
    pub(crate) fn refusal(self) -> &'static str {
        match self {
            Self::ReadWrite => "it does not take writes",
            Self::ReadOnly => "it takes writes",
            Self::Primary => "it is a standby",
            Self::Any | Self::Standby | Self::PreferStandby => "it is no standby",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_accepts_what_libpqs_does() {
        let state = |is_standby, is_read_only| SessionState {
            is_standby,
            is_read_only,
        };
        let (primary, frozen, standby) =
            (state(false, false), state(false, true), state(true, true));
        for (word, accepted) in [
            ("any", [true, true, true]),
            ("read-write", [true, false, false]),
            ("read-only", [false, true, true]),
            ("primary", [true, true, false]),
            ("standby", [false, false, true]),
        ] {
            let target = SessionTarget::parse(word).unwrap();
            assert_eq!(
                [primary, frozen, standby].map(|of| target.accepts(of)),
                accepted,
                "{word}"
            );
        }
        assert_eq!(SessionTarget::parse("master"), None);
    }
}
