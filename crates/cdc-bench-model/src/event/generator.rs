//! The seeded generator: an endless stream of events that refer to each other the way a real application's do.

use std::collections::VecDeque;

use fake::Fake;
use fake::faker::address::en::{BuildingNumber, CityName, PostCode, StreetName};
use fake::faker::internet::en::FreeEmailProvider;
use fake::faker::lorem::en::{Sentence, Words};
use fake::faker::name::en::{FirstName, LastName};
use fake::faker::phone_number::en::CellNumber;
use jiff::{SignedDuration, Timestamp};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use uuid::Uuid;

use super::payload::{ActivityCreated, Address, ParticipantJoined, UserCreated, Venue};
use super::{EventId, EventType, OutboxRow};

/// Users an event can still refer to: the latest this many.
const USER_WINDOW: usize = 4_096;
/// Activities with places left that can still be joined: the latest this many.
const ACTIVITY_WINDOW: usize = 1_024;
/// Most participants of any activity; bounds what is remembered of one.
const MOST_PARTICIPANTS: u32 = 24;
/// How often a participant is drawn for a `ParticipantJoined` before another event is made in its stead.
const JOIN_ATTEMPTS: usize = 8;

/// Categories, each with headlines that fit it.
const CATEGORIES: [(&str, [&str; 3]); 6] = [
    (
        "sports",
        ["Morning run", "Five-a-side football", "Beach volleyball"],
    ),
    (
        "music",
        ["Open jam session", "Choir rehearsal", "Vinyl evening"],
    ),
    (
        "food",
        ["Pasta from scratch", "Street food tour", "Sourdough class"],
    ),
    (
        "outdoors",
        ["Sunrise hike", "Kayak trip", "Bird watching walk"],
    ),
    (
        "games",
        ["Board game night", "Chess for beginners", "Pub quiz"],
    ),
    (
        "learning",
        ["Rust study group", "Spanish tandem", "First aid course"],
    ),
];
const COUNTRIES: [&str; 6] = ["DE", "FR", "GB", "IE", "NL", "US"];
const CHANNELS: [&str; 3] = ["web", "ios", "android"];

/// What is remembered of a user.
struct User {
    id: Uuid,
    name: String,
}

/// What is remembered of an activity that has places left.
struct Activity {
    id: Uuid,
    title: &'static str,
    organiser: Uuid,
    max_participants: u32,
    participants: Vec<Uuid>,
}

/// An activity that anybody may join at any time.
struct HotActivity {
    /// Share of the events that are about it.
    share: f64,
    /// Its id and title, once it is there.
    activity: Option<(Uuid, &'static str)>,
    participants: u32,
}

/// An endless stream of events.
///
/// The first event is a user, the second an activity; from then on about 20 % are `UserCreated`, 15 %
/// `ActivityCreated` and 65 % `ParticipantJoined`. Activities are organised by users who exist, and joined by others
/// who exist, each once, up to the activity's `max_participants`. Only a window of the latest users and activities is
/// referred to, so memory does not grow with the number of events.
///
/// Event `seq` takes place `seq` milliseconds after the epoch, whatever the rate it is inserted at. Its id is a UUIDv7
/// of that millisecond, so ids ascend; every random bit comes from the seed. The same seed and epoch give the same
/// events byte by byte, the same seed alone gives the same but for the times. Two generators whose rows go into one
/// table need different seeds or epochs, or their ids are the same.
pub struct Generator {
    rng: Xoshiro256PlusPlus,
    epoch: Timestamp,
    seq: u64,
    users: VecDeque<User>,
    activities: VecDeque<Activity>,
    hot: Option<HotActivity>,
}

impl Generator {
    /// A generator that begins with event 0 at `epoch`.
    #[must_use]
    pub fn new(seed: u64, epoch: Timestamp) -> Self {
        Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            epoch,
            seq: 0,
            users: VecDeque::new(),
            activities: VecDeque::new(),
            hot: None,
        }
    }

    /// The same with one aggregate, the first activity, that this share (0 to 1) of the events is about: a user joins it, whether it
    /// is the organiser or has joined before. With no share the events are those of [`Generator::new`].
    #[must_use]
    pub fn with_hot_share(mut self, share: f64) -> Self {
        self.hot = (share > 0.0).then_some(HotActivity {
            share: share.min(1.0),
            activity: None,
            participants: 0,
        });
        self
    }

    /// The next event. There is always one.
    pub fn next_row(&mut self) -> OutboxRow {
        let occurred_at = self.occurred_at();
        let id = EventId(self.uuid(occurred_at));
        let (event_type, aggregate_id, payload) = self.next_event(occurred_at);
        let seq = self.seq;
        self.seq += 1;
        OutboxRow {
            id,
            seq,
            event_type,
            aggregate_id,
            payload,
        }
    }

    fn next_event(&mut self, occurred_at: Timestamp) -> (EventType, Uuid, String) {
        match self.seq {
            0 => return self.user_created(occurred_at),
            1 => return self.activity_created(occurred_at),
            _ => {}
        }
        if let Some(hot) = &self.hot
            && self.rng.random_bool(hot.share)
            && let Some(joined) = self.hot_activity_joined(occurred_at)
        {
            return joined;
        }
        match self.rng.random_range(0..100) {
            0..20 => self.user_created(occurred_at),
            20..35 => self.activity_created(occurred_at),
            // What is missing for somebody to join something is made instead.
            _ if self.activities.is_empty() => self.activity_created(occurred_at),
            _ => match self.draw_participant() {
                Some((activity, user)) => self.participant_joined(occurred_at, activity, user),
                None => self.user_created(occurred_at),
            },
        }
    }

    fn user_created(&mut self, occurred_at: Timestamp) -> (EventType, Uuid, String) {
        let user_id = self.uuid(occurred_at);
        let seq = self.seq;
        let rng = &mut self.rng;
        let first_name: String = FirstName().fake_with_rng(rng);
        let last_name: String = LastName().fake_with_rng(rng);
        let username = format!("{}.{}{seq}", login(&first_name), login(&last_name));
        let provider: String = FreeEmailProvider().fake_with_rng(rng);
        let (street, number): (String, String) = (
            StreetName().fake_with_rng(rng),
            BuildingNumber().fake_with_rng(rng),
        );
        let first_interest = rng.random_range(0..CATEGORIES.len());
        let interests = rng.random_range(1..=3);
        let name = format!("{first_name} {last_name}");
        let payload = json(&UserCreated {
            occurred_at,
            user_id,
            email: format!("{username}@{provider}"),
            username,
            first_name,
            last_name,
            phone: CellNumber().fake_with_rng(rng),
            birth_year: rng.random_range(1945..2009),
            address: Address {
                street: format!("{street} {number}"),
                city: CityName().fake_with_rng(rng),
                postcode: PostCode().fake_with_rng(rng),
                country: (*pick(rng, &COUNTRIES)).to_owned(),
            },
            interests: (0..interests)
                .map(|n| {
                    CATEGORIES[(first_interest + n) % CATEGORIES.len()]
                        .0
                        .to_owned()
                })
                .collect(),
            newsletter: rng.random_bool(0.3),
        });
        remember(&mut self.users, USER_WINDOW, User { id: user_id, name });
        (EventType::UserCreated, user_id, payload)
    }

    fn activity_created(&mut self, occurred_at: Timestamp) -> (EventType, Uuid, String) {
        let activity_id = self.uuid(occurred_at);
        let rng = &mut self.rng;
        let organiser = &self.users[rng.random_range(0..self.users.len())];
        let (category, titles) = pick(rng, &CATEGORIES);
        let title = *pick(rng, titles);
        let is_hot = self.hot.as_ref().is_some_and(|hot| hot.activity.is_none());
        let max_participants = if is_hot {
            u32::MAX
        } else {
            rng.random_range(4..=MOST_PARTICIPANTS)
        };
        let in_hours = rng.random_range(2..24 * 30);
        let venue: Vec<String> = Words(1..3).fake_with_rng(rng);
        let payload = json(&ActivityCreated {
            occurred_at,
            activity_id,
            organiser_id: organiser.id,
            organiser_name: organiser.name.clone(),
            title: title.to_owned(),
            category: (*category).to_owned(),
            description: Sentence(5..9).fake_with_rng(rng),
            location: Venue {
                name: format!("Casa {}", venue.join(" ")),
                city: CityName().fake_with_rng(rng),
                latitude: degrees(rng, -60, 70),
                longitude: degrees(rng, -180, 180),
            },
            starts_at: occurred_at
                .saturating_add(SignedDuration::from_hours(in_hours))
                .unwrap_or(Timestamp::MAX),
            duration_minutes: rng.random_range(2..17) * 15,
            max_participants,
            price: f64::from(rng.random_range(0..=50_u32)) / 2.0,
        });
        if let Some(hot) = self.hot.as_mut().filter(|_| is_hot) {
            hot.activity = Some((activity_id, title));
            return (EventType::ActivityCreated, activity_id, payload);
        }
        let activity = Activity {
            id: activity_id,
            title,
            organiser: organiser.id,
            max_participants,
            participants: Vec::new(),
        };
        remember(&mut self.activities, ACTIVITY_WINDOW, activity);
        (EventType::ActivityCreated, activity_id, payload)
    }

    fn participant_joined(
        &mut self,
        occurred_at: Timestamp,
        activity_index: usize,
        user_index: usize,
    ) -> (EventType, Uuid, String) {
        let user = &self.users[user_index];
        let activity = &mut self.activities[activity_index];
        activity.participants.push(user.id);
        let participant_count =
            u32::try_from(activity.participants.len()).unwrap_or(MOST_PARTICIPANTS);
        let places_left = activity.max_participants - participant_count;
        let activity = (activity.id, activity.title);
        let places = (participant_count, places_left);
        let payload = joined(&mut self.rng, occurred_at, activity, user, places);
        if places_left == 0 {
            self.activities.remove(activity_index);
        }
        (EventType::ParticipantJoined, activity.0, payload)
    }

    /// Somebody joins the hot activity, if it is there.
    fn hot_activity_joined(&mut self, occurred_at: Timestamp) -> Option<(EventType, Uuid, String)> {
        let hot = self.hot.as_mut()?;
        let activity = hot.activity?;
        hot.participants = hot.participants.saturating_add(1);
        let places = (hot.participants, u32::MAX - hot.participants);
        let user = &self.users[self.rng.random_range(0..self.users.len())];
        let payload = joined(&mut self.rng, occurred_at, activity, user, places);
        Some((EventType::ParticipantJoined, activity.0, payload))
    }

    /// An activity and a user who can join it, by their positions in the windows.
    fn draw_participant(&mut self) -> Option<(usize, usize)> {
        for _ in 0..JOIN_ATTEMPTS {
            let activity_index = self.rng.random_range(0..self.activities.len());
            let user_index = self.rng.random_range(0..self.users.len());
            let activity = &self.activities[activity_index];
            let user = self.users[user_index].id;
            if activity.organiser != user && !activity.participants.contains(&user) {
                return Some((activity_index, user_index));
            }
        }
        None
    }

    fn occurred_at(&self) -> Timestamp {
        let after = SignedDuration::from_millis(i64::try_from(self.seq).unwrap_or(i64::MAX));
        self.epoch.saturating_add(after).unwrap_or(Timestamp::MAX)
    }

    fn uuid(&mut self, at: Timestamp) -> Uuid {
        // Before 1970 there is no UUIDv7.
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        let random: [u8; 10] = self.rng.random();
        uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
    }
}

impl Iterator for Generator {
    type Item = OutboxRow;

    fn next(&mut self) -> Option<OutboxRow> {
        Some(self.next_row())
    }
}

/// The payload of a user's joining of an activity, given by its id and title, after which it has so many participants and places.
fn joined(
    rng: &mut Xoshiro256PlusPlus,
    occurred_at: Timestamp,
    (activity_id, title): (Uuid, &str),
    user: &User,
    (participant_count, places_left): (u32, u32),
) -> String {
    json(&ParticipantJoined {
        occurred_at,
        activity_id,
        activity_title: title.to_owned(),
        user_id: user.id,
        user_name: user.name.clone(),
        message: Sentence(4..10).fake_with_rng(rng),
        channel: (*pick(rng, &CHANNELS)).to_owned(),
        participant_count,
        places_left,
    })
}

/// Adds the newest and forgets the oldest where there are more than `limit`.
fn remember<T>(window: &mut VecDeque<T>, limit: usize, newest: T) {
    if window.len() == limit {
        window.pop_front();
    }
    window.push_back(newest);
}

fn pick<'a, T>(rng: &mut Xoshiro256PlusPlus, from: &'a [T]) -> &'a T {
    &from[rng.random_range(0..from.len())]
}

/// A name as part of an e-mail address.
fn login(name: &str) -> String {
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

/// Degrees to four decimals, some eleven metres.
fn degrees(rng: &mut Xoshiro256PlusPlus, from: i32, to: i32) -> f64 {
    f64::from(rng.random_range(from * 10_000..to * 10_000)) / 10_000.0
}

fn json(event: &impl Serialize) -> String {
    serde_json::to_string(event).expect("a payload has string keys and finite numbers alone")
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    fn epoch() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn rows(seed: u64, count: usize) -> Vec<OutboxRow> {
        Generator::new(seed, epoch()).take(count).collect()
    }

    #[test]
    fn a_seed_and_an_epoch_give_the_same_events() {
        assert_eq!(rows(7, 2_000), rows(7, 2_000));
        assert_ne!(rows(7, 20), rows(8, 20));
    }

    #[test]
    fn another_epoch_changes_times_alone() {
        let later = epoch()
            .saturating_add(SignedDuration::from_hours(1))
            .unwrap();
        let shifted: Vec<_> = Generator::new(7, later).take(500).collect();
        for (a, b) in rows(7, 500).iter().zip(&shifted) {
            assert_eq!(a.event_type, b.event_type);
            assert_eq!(a.id.0.as_bytes()[6..], b.id.0.as_bytes()[6..]);
            if a.event_type == EventType::UserCreated {
                let a: UserCreated = serde_json::from_str(&a.payload).unwrap();
                let b: UserCreated = serde_json::from_str(&b.payload).unwrap();
                assert_eq!((a.email, a.address), (b.email, b.address));
            }
        }
    }

    #[test]
    fn ids_are_uuid_v7_and_ascend() {
        let rows = rows(1, 5_000);
        assert!(rows.iter().all(|row| row.id.0.get_version_num() == 7));
        assert!(rows.windows(2).all(|pair| pair[0].id < pair[1].id));
        assert!(rows.iter().zip(0..).all(|(row, seq)| row.seq == seq));
    }

    #[test]
    fn every_reference_is_to_something_that_exists() {
        let mut users = HashSet::new();
        let mut activities: HashMap<Uuid, ActivityCreated> = HashMap::new();
        let mut participants: HashMap<Uuid, HashSet<Uuid>> = HashMap::new();
        for row in rows(3, 20_000) {
            match row.event_type {
                EventType::UserCreated => {
                    let event: UserCreated = serde_json::from_str(&row.payload).unwrap();
                    assert_eq!(event.user_id, row.aggregate_id);
                    assert!(users.insert(event.user_id));
                }
                EventType::ActivityCreated => {
                    let event: ActivityCreated = serde_json::from_str(&row.payload).unwrap();
                    assert!(users.contains(&event.organiser_id));
                    assert!(event.starts_at > event.occurred_at);
                    activities.insert(row.aggregate_id, event);
                }
                EventType::ParticipantJoined => {
                    let event: ParticipantJoined = serde_json::from_str(&row.payload).unwrap();
                    let activity = &activities[&row.aggregate_id];
                    let joined = participants.entry(row.aggregate_id).or_default();
                    assert!(users.contains(&event.user_id));
                    assert_ne!(event.user_id, activity.organiser_id);
                    assert!(joined.insert(event.user_id), "joined twice");
                    assert_eq!(joined.len(), event.participant_count as usize);
                    assert_eq!(
                        event.participant_count + event.places_left,
                        activity.max_participants
                    );
                }
            }
        }
    }

    #[test]
    fn a_hot_aggregate_has_its_share_and_the_others_are_as_they_are() {
        assert_eq!(
            Generator::new(9, epoch())
                .with_hot_share(0.0)
                .take(500)
                .collect::<Vec<_>>(),
            rows(9, 500)
        );
        let generator = Generator::new(9, epoch()).with_hot_share(0.6);
        let rows: Vec<_> = generator.take(10_000).collect();
        let mut counts: HashMap<Uuid, i32> = HashMap::new();
        rows.iter()
            .for_each(|row| *counts.entry(row.aggregate_id).or_default() += 1);
        let hot = counts[&rows[1].aggregate_id];
        assert!((hot - 6_000).abs() < 200, "{hot}");
        let others = counts.values().filter(|count| **count != hot);
        assert!(others.max() < Some(&60));
        let of_hot = rows
            .iter()
            .rfind(|row| row.aggregate_id == rows[1].aggregate_id);
        let last: ParticipantJoined = serde_json::from_str(&of_hot.unwrap().payload).unwrap();
        assert_eq!(i32::try_from(last.participant_count).unwrap(), hot - 1);
    }

    #[test]
    fn the_mix_is_about_20_15_65() {
        let mut counts = [0_i32; 3];
        for row in rows(11, 20_000) {
            counts[row.event_type.index()] += 1;
        }
        for (count, percent) in counts.into_iter().zip([20, 15, 65]) {
            let expected = 200 * percent;
            assert!((count - expected).abs() < 400, "{counts:?}");
        }
    }

    #[test]
    fn payloads_are_of_a_realistic_size() {
        let rows = rows(5, 5_000);
        let total: usize = rows.iter().map(|row| row.payload.len()).sum();
        let mean = total / rows.len();
        assert!((300..500).contains(&mean), "mean {mean}");
        for row in &rows {
            assert!((230..650).contains(&row.payload.len()), "{}", row.payload);
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut generator = Generator::new(2, epoch());
        for _ in 0..40_000 {
            generator.next_row();
        }
        assert_eq!(generator.users.len(), USER_WINDOW);
        assert!(generator.activities.len() <= ACTIVITY_WINDOW);
        let most = usize::try_from(MOST_PARTICIPANTS).unwrap();
        let bounded = |activity: &Activity| activity.participants.len() < most;
        assert!(generator.activities.iter().all(bounded));
    }

    #[test]
    fn one_payload_of_each_kind() {
        let rows = rows(42, 50);
        for kind in EventType::ALL {
            let row = rows.iter().find(|row| row.event_type == kind).unwrap();
            insta::assert_snapshot!(kind.as_str(), row.payload);
        }
    }
}
