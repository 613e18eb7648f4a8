-- A workspace that does not run yet, because somebody had others of its batch spec run before.
alter table batch_workspaces add column held boolean not null default false;
