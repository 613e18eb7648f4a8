-- What users ask for beside what a changeset shall be. The reconciler does it on the code host, once, and takes it out.
alter table changesets
  add column merging text check (merging in ('merge', 'squash')),
  -- [{id, body, since}], oldest first: what has the id of one on the code host is that comment.
  add column comments jsonb not null default '[]',
  -- Nothing but this, and to be closed, is due: all else is as the reconciler has left it.
  add column only_asked boolean not null default false;
