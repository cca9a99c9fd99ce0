-- Copies that are bad or left over from a move: few, and asked for of every recording when a plan is made.
CREATE INDEX copy_special ON copy (recording) WHERE instr(body, '"bad":') OR instr(body, '"until":');
