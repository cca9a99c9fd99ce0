/// Of `recording r`, as [`crate::rows::recording`] reads it.
macro_rules! recording_columns {
    () => {
        "r.rid, r.id, r.kind, r.name, r.title, r.store, r.key, r.version, r.size, r.sha256, r.crc64,
         r.accepted_at, r.recorded_at, r.tags, r.fields, r.session, r.probe, r.state, r.reason, r.custody,
         r.revision,
         CASE r.kind WHEN 'session' THEN coalesce((
             SELECT json_agg(json_build_object('name', t.name, 'participant', t.participant,
                        'offset_ms', t.offset_ms, 'leave_ms', t.leave_ms) ORDER BY t.position)
             FROM session_track t WHERE t.session = r.id)::text, '[]') END AS tracks"
    };
}
pub(super) use crate::rows::{
    Columns, audit, batch, claim, eldest, ended, former, former_columns, job, job_columns, offer,
    offer_columns, recording, told, version,
};
pub(super) use recording_columns;
