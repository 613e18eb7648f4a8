-- What an executor has lost lately, and which machine uses its name.

alter table executors
  -- A lease of it ran out, and it has sent no heartbeat since: it gets no other job until it has.
  add column must_beat boolean not null default false,
  -- How often that has happened in close succession, and when last. It leases again after a pause that grows with them.
  add column losses integer not null default 0,
  add column lost_at timestamptz,
  -- What an executor of the native protocol says of where it runs; null from others.
  add column machine text;
