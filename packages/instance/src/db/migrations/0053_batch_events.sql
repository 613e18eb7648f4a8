-- The last transaction that has changed a workspace or one of its steps: those who follow a batch spec ask for what has changed since theirs. Triggers set it, so
-- that no statement can forget it.
alter table batch_workspaces add column changed xid8 not null default pg_current_xact_id();
create index batch_workspaces_changed on batch_workspaces (spec_id, changed, id);

create function batch_workspace_changed() returns trigger language plpgsql as $$
begin
  new.changed = pg_current_xact_id();
  return new;
end
$$;
create trigger batch_workspace_changed before update on batch_workspaces
  for each row execute function batch_workspace_changed();

create function batch_workspace_step_changed() returns trigger language plpgsql as $$
begin
  update batch_workspaces set changed = pg_current_xact_id() where id = coalesce(new.workspace_id, old.workspace_id);
  return null;
end
$$;
create trigger batch_workspace_step_changed after insert or update or delete on batch_workspace_steps
  for each row execute function batch_workspace_step_changed();
