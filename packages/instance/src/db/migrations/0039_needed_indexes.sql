-- When it was last found that a branch or a tag needs the index; it is looked at again a day later.
alter table uploads add column needed_at timestamptz;
