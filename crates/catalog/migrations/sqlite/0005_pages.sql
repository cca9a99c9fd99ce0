-- A page of facts walks along these, without a look at the jobs themselves.
CREATE INDEX job_done ON job (recording, version, id) WHERE state = 'done';
CREATE INDEX job_parked ON job (recording) WHERE state = 'parked';
CREATE INDEX recording_session ON recording (session) WHERE session IS NOT NULL;
