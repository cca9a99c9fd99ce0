-- What people know of a recording, as a JSON object of texts.
ALTER TABLE recording ADD COLUMN fields TEXT NOT NULL DEFAULT '{}';
