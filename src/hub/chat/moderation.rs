//! What owner and moderators do to a chat: timeouts, bans, slow mode, subscribers-only, pins. Each
//! is audited. It does not know how a message is said.

use std::time::Duration;

use super::{Chat, Done, Target, audit};
use crate::{
    db::ChatWrite,
    hub::{
        effects::{Ack, Effects, Persist, Refusal, To},
        member::{Member, Now, Role, User},
        wire::{Close, ErrorCode},
    },
};

/// Longest timeout: whoever means longer means a ban.
const TIMEOUT_MAX_S: f64 = 365.0 * 86_400.0;
/// Longest pause of slow mode, as the configuration allows it.
const SLOW_MAX_S: f64 = 86_400.0;
/// Characters of a reason that are kept.
const REASON_CHARS_MAX: usize = 300;
/// Users silenced in one channel.
const SILENCED_MAX: usize = 10_000;

/// An action of the owner or a moderator.
#[derive(Clone, Debug, PartialEq)]
pub enum Moderation {
    /// May not write for so long.
    Timeout {
        /// Who.
        user: Target,
        /// How long.
        seconds: f64,
        /// Why.
        reason: Option<String>,
    },
    /// May not write any more.
    Ban {
        /// Who.
        user: Target,
        /// Why.
        reason: Option<String>,
    },
    /// May write again, after a ban or a timeout.
    Unban {
        /// Who.
        user: Target,
    },
    /// Between two messages of one user.
    Slow {
        /// How long; 0 is off.
        seconds: f64,
    },
    /// Only subscribers write.
    SubscribersOnly {
        /// Whether.
        enabled: bool,
    },
    /// A message above the others.
    Pin {
        /// Which.
        id: String,
    },
    /// No message above the others.
    Unpin,
}

impl Chat {
    pub(super) fn moderate(
        &mut self,
        now: Now,
        member: &Member,
        user: &User,
        action: Moderation,
    ) -> Done {
        if !member.role.is_staff() {
            let message = "Only the owner and moderators may do this.";
            return Err(Refusal::new(ErrorCode::Forbidden, message));
        }
        match action {
            Moderation::Timeout {
                user: target,
                seconds,
                reason,
            } => {
                let length = duration(seconds, TIMEOUT_MAX_S)?;
                let length_ms = i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
                let until = now.wall_ms.saturating_add(length_ms);
                let detail = join(Some(format!("{seconds} s")), reason);
                let (effects, ..) = self.silence(now, member, user, target, Some(until), detail)?;
                Ok((effects, Ack::default()))
            }
            Moderation::Ban {
                user: target,
                reason,
            } => {
                let detail = join(None, reason);
                let (mut effects, name) = self.silence(now, member, user, target, None, detail)?;
                effects.close(To::User(name.into()), Close::Banned);
                Ok((effects, Ack::default()))
            }
            Moderation::Unban { user: target } => self.unban(now, user, target),
            Moderation::Slow { seconds } => {
                self.slow = duration(seconds, SLOW_MAX_S)?;
                self.last_said.clear();
                Ok(self.settings(now, user, "slow", format!("{seconds} s")))
            }
            Moderation::SubscribersOnly { enabled } => {
                self.subscribers_only = enabled;
                let detail = if enabled { "on" } else { "off" };
                Ok(self.settings(now, user, "subscribers_only", detail.to_owned()))
            }
            Moderation::Pin { id } => {
                self.pinned = Some(self.find(&id)?.clone());
                Ok(self.pin(now, user, "pin", Some(&id)))
            }
            Moderation::Unpin => {
                self.pinned = None;
                Ok(self.pin(now, user, "unpin", None))
            }
        }
    }

    /// Nobody silences the owner or themselves, and only the owner a moderator.
    fn silence(
        &mut self,
        now: Now,
        member: &Member,
        user: &User,
        target: Target,
        until_ms: Option<i64>,
        detail: Option<String>,
    ) -> Result<(Effects, String), Refusal> {
        let (target_id, name) = target.user.ok_or_else(nobody)?;
        let protected = self.moderators.contains(&target_id) && member.role != Role::Owner;
        if Some(target_id) == self.owner_id || target_id == user.id || protected {
            let message = "This user cannot be silenced by you.";
            return Err(Refusal::new(ErrorCode::Forbidden, message));
        }
        // Without a channel nobody is staff.
        let channel_id = self.channel_id.ok_or_else(nobody)?;
        if self.silenced.len() >= SILENCED_MAX && !self.silenced.contains_key(&target_id) {
            let message = "Too many users are silenced in this channel.";
            return Err(Refusal::new(ErrorCode::QueueFull, message));
        }
        self.silenced.insert(target_id, until_ms);
        let mut effects = Effects::none();
        effects.persist.push(Persist::Chat(ChatWrite::Silenced {
            channel_id,
            user_id: target_id,
            until_ms,
        }));
        let action = if until_ms.is_some() { "timeout" } else { "ban" };
        effects
            .persist
            .push(audit(now, user, action, Some(&name), detail));
        Ok((effects, name))
    }

    fn unban(&mut self, now: Now, user: &User, target: Target) -> Done {
        let (target_id, name) = target.user.ok_or_else(nobody)?;
        let channel_id = self.channel_id.ok_or_else(nobody)?;
        self.silenced.remove(&target_id);
        let mut effects = Effects::none();
        effects.persist.push(Persist::Chat(ChatWrite::Unsilenced {
            channel_id,
            user_id: target_id,
        }));
        effects
            .persist
            .push(audit(now, user, "unban", Some(&name), None));
        Ok((effects, Ack::default()))
    }

    fn settings(
        &mut self,
        now: Now,
        user: &User,
        action: &'static str,
        detail: String,
    ) -> (Effects, Ack) {
        let mut effects = Effects::none();
        effects.send(To::Everyone, self.settings_frame());
        effects.persist.push(self.settings_write());
        effects
            .persist
            .push(audit(now, user, action, None, Some(detail)));
        (effects, Ack::default())
    }

    fn pin(
        &mut self,
        now: Now,
        user: &User,
        action: &'static str,
        id: Option<&str>,
    ) -> (Effects, Ack) {
        let mut effects = Effects::none();
        effects.send(To::Everyone, self.pinned_frame());
        effects.persist.push(self.settings_write());
        effects.persist.push(audit(now, user, action, id, None));
        (effects, id.map_or_else(Ack::default, Ack::id))
    }
}

fn nobody() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "There is no such user.")
}

/// Seconds as clients give them: a number from 0.
fn duration(seconds: f64, max_s: f64) -> Result<Duration, Refusal> {
    if !(0.0..=max_s).contains(&seconds) {
        let message = format!("Seconds are a number from 0 to {max_s}.");
        return Err(Refusal::new(ErrorCode::BadMessage, message));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn join(length: Option<String>, reason: Option<String>) -> Option<String> {
    let reason = reason.map(|reason| reason.chars().take(REASON_CHARS_MAX).collect::<String>());
    match (length, reason) {
        (Some(length), Some(reason)) => Some(format!("{length}: {reason}")),
        (length, reason) => length.or(reason),
    }
}
