-- Whether a changeset is to be made in a fork of the repository, as its batch spec says.
alter table changeset_specs add column fork boolean not null default false;
-- The fork that has its branch: `OWNER/NAME` on the code host. Null: the repository itself has it.
alter table changesets add column fork text;
-- Whether the admin has all changesets of the code host made in forks.
alter table code_hosts add column forks boolean not null default false;
