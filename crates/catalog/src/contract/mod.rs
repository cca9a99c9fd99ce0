//! What every catalog must do. A backend joins by one line:
//!
//! ```ignore
//! async fn fresh() -> catalog::contract::Fixture { .. }
//! catalog::contract_suite!(fresh);
//! ```

mod kit;

pub mod accept;
pub mod batches;
pub mod conclude;
pub mod custody;
pub mod describe;
pub mod destinations;
pub mod handles;
pub mod history;
pub mod ledger;
pub mod pages;
pub mod places;
pub mod purge;
pub mod record;
pub mod search;
pub mod sessions;
pub mod settle;
pub mod tell;

use std::{any::Any, sync::Arc};

use futures::future::BoxFuture;

use crate::Catalog;
#[cfg(all(test, feature = "postgres"))]
pub use kit::asking_for_a_probe;
pub use kit::{Record, T0, making, recording, sha256};

/// An empty catalog.
pub struct Fixture {
    pub catalog: Arc<dyn Catalog>,
    /// Opens the same catalog once more, as another process would.
    pub again: Box<dyn Fn() -> BoxFuture<'static, Arc<dyn Catalog>> + Send + Sync>,
    /// Whatever must live as long: a temporary folder, a server.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// Makes a named test of every case, for the backend that the function `$fresh` opens.
#[macro_export]
macro_rules! contract_suite {
    ($fresh:ident) => {
        $crate::contract_suite! { @ $fresh;
            accept:
                accepting_twice_is_accepting_once,
                a_batch_keeps_its_order_and_is_taken_whole,
                what_is_accepted_comes_back_as_it_was,
                new_bytes_void_what_was_measured_of_the_former,
                a_late_event_of_former_bytes_changes_nothing,
                recordings_of_one_date_do_not_collide,
                an_id_is_found_by_its_beginning,
                our_outputs_are_known_by_their_bytes,
                usage_is_the_sum_of_what_is_stored;
            sessions:
                a_session_takes_the_tracks_that_came_before,
                a_session_takes_the_tracks_that_come_later,
                both_orders_end_the_same,
                what_a_session_has_is_never_taken_from_it,
                the_latest_session_that_waits_has_the_track,
                a_track_that_changes_wakes_its_session;
            settle:
                a_decision_on_former_facts_is_refused,
                jobs_are_asked_for_once_cancelled_and_revived,
                what_no_event_told_of_is_found,
                what_is_to_decide_is_paged,
                a_new_policy_concerns_everything,
                a_former_policys_decision_is_refused;
            ledger:
                one_of_sixteen_claims_wins,
                a_worker_whose_lease_was_lost_writes_nothing_more,
                an_expired_lease_is_claimed_again_or_still_recorded,
                only_due_jobs_are_claimed,
                one_look_says_which_of_many_could_be_claimed,
                what_is_ready_is_offered_once_the_oldest_first,
                what_was_offered_and_never_taken_is_offered_again,
                the_age_of_the_backlog_is_its_oldest_jobs,
                one_of_sixteen_leads,
                a_failure_is_retried_later_and_then_parked,
                retry_takes_parked_jobs_up_again,
                a_job_given_back_has_not_failed,
                orphans_are_recovered,
                a_lease_is_renewed_with_progress,
                jobs_are_listed_and_counted,
                what_there_is_to_do_stirs;
            record:
                an_outcome_is_recorded_with_all_that_follows_or_not_at_all,
                recording_twice_is_recording_once,
                a_probe_of_former_bytes_is_not_applied,
                a_rendition_made_again_replaces_the_former,
                a_rendition_that_is_missed_can_be_made_again,
                a_copy_is_kept_per_store,
                tags_are_added,
                the_audit_tells_the_story,
                the_audit_log_is_a_chain;
            conclude:
                what_follows_is_decided_with_the_outcome_or_neither_is,
                a_conclusion_outdates_what_was_read_before_it,
                a_session_is_decided_after_its_track,
                under_another_policy_the_outcome_is_kept_and_nothing_decided;
            places:
                an_access_is_remembered,
                an_archived_recording_is_cold,
                another_store_holds_the_source,
                what_is_held_stays_where_it_is,
                bytes_that_do_not_read_back_are_known_to_be_bad,
                people_are_told_with_the_outcome,
                a_drill_that_fails_is_told_and_changes_nothing,
                the_same_bytes_under_another_version_are_the_same,
                what_comes_again_meets_the_trash;
            custody:
                over_the_limit_nothing_at_all_is_done,
                what_is_in_the_trash_has_all_its_bytes_and_comes_back,
                what_is_held_or_has_changed_stays_out_of_the_trash,
                holds_have_names_and_reasons,
                a_hold_on_a_session_is_one_on_its_tracks,
                offers_are_those_of_the_last_decision,
                work_in_hand_is_recorded_also_of_what_is_in_the_trash;
            describe:
                what_is_described_is_found_so,
                a_tracks_fields_are_its_sessions;
            purge:
                what_is_held_is_not_purged,
                a_purge_is_written_down_before_it_begins,
                nothing_is_purged_that_is_not_due_or_in_use,
                a_certificate_is_what_is_left,
                no_more_copies_are_given_up_than_may_be,
                what_is_held_is_not_evicted;
            batches:
                what_is_ordered_is_done_whatever_is_decided,
                a_paused_batch_rests_and_goes_on,
                a_cancelled_batch_is_over,
                what_an_order_leaves_unmade_is_decided_on_anew,
                nothing_is_ordered_of_what_goes_or_is_gone;
            destinations:
                no_more_leave_for_a_destination_than_it_has_places,
                what_has_a_place_is_handed_over_and_nothing_else,
                a_route_is_kept_while_it_is_taken,
                a_batch_knows_its_bytes,
                what_is_readable_again_is_exported_at_once;
            pages:
                a_page_of_facts_is_the_facts_of_each,
                a_screen_finds_all_that_rules_may_be_for,
                the_eldest_are_verified_first;
            search:
                queries_find_what_they_say,
                every_page_once_and_newest_first,
                what_changes_is_found_as_it_is_now,
                words_are_found_in_many_scripts,
                recordings_are_found_by_what_they_are,
                no_text_is_too_odd_to_be_accepted;
            history:
                what_is_stored_is_sampled_once_an_hour,
                what_happens_is_counted_by_the_hour,
                a_source_is_known_by_what_came_last;
            tell:
                an_alert_is_told_once_until_it_has_cooled_down,
                an_alert_comes_with_its_decision_or_not_at_all,
                alerts_are_listed_and_taken_up,
                a_bookmark_is_kept,
                versions_are_known_in_the_order_asked,
                a_note_is_in_the_audit_and_has_the_recording_looked_at;
            handles:
                two_handles_see_and_fence_one_another,
                two_handles_write_at_the_same_time;
        }
    };
    (@ $fresh:ident; $($area:ident: $($case:ident),*;)*) => {
        $(mod $area {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::contract::$area::$case(&super::$fresh().await).await
            }
        )*})*
    };
}

#[cfg(test)]
mod tests {
    /// A case that is not in the list would silently prove nothing.
    #[test]
    fn every_case_is_in_the_suite() {
        let list = include_str!("mod.rs");
        let areas = [
            include_str!("accept.rs"),
            include_str!("batches.rs"),
            include_str!("custody.rs"),
            include_str!("destinations.rs"),
            include_str!("handles.rs"),
            include_str!("history.rs"),
            include_str!("ledger.rs"),
            include_str!("pages.rs"),
            include_str!("places.rs"),
            include_str!("purge.rs"),
            include_str!("record.rs"),
            include_str!("search.rs"),
            include_str!("sessions.rs"),
            include_str!("settle.rs"),
            include_str!("tell.rs"),
        ];
        for line in areas.iter().flat_map(|a| a.lines()) {
            if let Some(case) = line.strip_prefix("pub async fn ").and_then(|l| l.split('(').next()) {
                assert!(list.contains(&format!(" {case},")) || list.contains(&format!(" {case};")), "{case}");
            }
        }
    }
}
