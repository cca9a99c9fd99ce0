-- Copies that are bad or left over from a move: few, and asked for of every recording when a plan is made.
CREATE INDEX copy_special ON copy (recording) WHERE strpos(body, '"bad":') > 0 OR strpos(body, '"until":') > 0;
