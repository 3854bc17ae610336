//! The payload of each kind of event: the JSON object of the outbox's `payload` column.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where a user lives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Address {
    /// Street and house number.
    pub street: String,
    /// City.
    pub city: String,
    /// Postal code.
    pub postcode: String,
    /// ISO 3166 code of the country, two letters.
    pub country: String,
}

/// Payload of [`super::EventType::UserCreated`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserCreated {
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The new user; the event's aggregate.
    pub user_id: Uuid,
    /// Name to log in with, unique in a run.
    pub username: String,
    /// Given name.
    pub first_name: String,
    /// Family name.
    pub last_name: String,
    /// E-mail address, unique in a run.
    pub email: String,
    /// Telephone number, in any spelling.
    pub phone: String,
    /// Year of birth.
    pub birth_year: i32,
    /// Where the user lives.
    pub address: Address,
    /// Categories of activities the user likes, at least one.
    pub interests: Vec<String>,
    /// Whether the user wants mail about new activities.
    pub newsletter: bool,
}

/// Where an activity takes place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Venue {
    /// The place's name.
    pub name: String,
    /// City.
    pub city: String,
    /// Degrees north, to four decimals.
    pub latitude: f64,
    /// Degrees east, to four decimals.
    pub longitude: f64,
}

/// Payload of [`super::EventType::ActivityCreated`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActivityCreated {
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The new activity; the event's aggregate.
    pub activity_id: Uuid,
    /// The user who announced it.
    pub organiser_id: Uuid,
    /// That user's name.
    pub organiser_name: String,
    /// Headline.
    pub title: String,
    /// One of a few categories.
    pub category: String,
    /// A sentence on it.
    pub description: String,
    /// Where it takes place.
    pub location: Venue,
    /// When it begins, after `occurred_at`.
    pub starts_at: Timestamp,
    /// How long it takes.
    pub duration_minutes: u32,
    /// How many can join, beside the organiser.
    pub max_participants: u32,
    /// What it costs to take part, in euro.
    pub price: f64,
}

/// Payload of [`super::EventType::ParticipantJoined`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ParticipantJoined {
    /// When it happened.
    pub occurred_at: Timestamp,
    /// The activity joined; the event's aggregate.
    pub activity_id: Uuid,
    /// That activity's headline.
    pub activity_title: String,
    /// The user who joined it: never the organiser, never twice.
    pub user_id: Uuid,
    /// That user's name.
    pub user_name: String,
    /// What the user wrote on joining.
    pub message: String,
    /// Where the user came from: `web`, `ios`, `android`.
    pub channel: String,
    /// Participants so far, this one counted; at most the activity's `max_participants`.
    pub participant_count: u32,
    /// Places still free.
    pub places_left: u32,
}
