//! Which parameters of a connection flags have set, and which ones variables have.

use std::collections::BTreeSet;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use pgcdc::{ConnectionParameters, InvalidServer};

/// Arguments, and which of them are of flags: the others are of variables, or defaults.
#[derive(Debug, Clone, Default)]
pub(super) struct WithFlags<A> {
    pub(super) args: A,
    flags: BTreeSet<String>,
}

impl<A> WithFlags<A> {
    /// The arguments, and whether a flag has set the one of this id.
    pub(super) fn into_parts(self) -> (A, impl Fn(&str) -> bool) {
        let flags = self.flags;
        (self.args, move |id: &str| flags.contains(id))
    }
}

impl<A: FromArgMatches> FromArgMatches for WithFlags<A> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        let is_flag = |id: &&str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let ids: Vec<&str> = matches.ids().map(clap::Id::as_str).collect();
        let flags = ids.into_iter().filter(is_flag).map(str::to_owned).collect();
        Ok(Self {
            args: A::from_arg_matches_mut(matches)?,
            flags,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<A: Args> Args for WithFlags<A> {
    fn augment_args(command: Command) -> Command {
        A::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        A::augment_args_for_update(command)
    }
}

/// Parameters that flags set, and those that variables do.
#[derive(Default)]
pub(super) struct Origins {
    /// Of flags.
    pub(super) flags: ConnectionParameters,
    /// Of variables.
    pub(super) variables: ConnectionParameters,
}

impl Origins {
    /// Takes the value of an argument, of a flag or of its variable. An empty value is none.
    pub(super) fn take(
        &mut self,
        keyword: &str,
        value: Option<String>,
        is_of_flag: bool,
    ) -> Result<(), InvalidServer> {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return Ok(());
        };
        let into = if is_of_flag {
            &mut self.flags
        } else {
            &mut self.variables
        };
        into.set(keyword, &value)
    }
}
