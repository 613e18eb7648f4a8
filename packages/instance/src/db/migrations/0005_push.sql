-- What executors are told.

alter table executors
  -- It is to lease nothing more, by an admin's request.
  add column draining boolean not null default false,
  -- Of its push streams, on any replica, the newest is served: each one that is opened counts on.
  add column push_stream bigint not null default 0;
