-- Groups of users that share batch changes and secrets: what is theirs has `org/NAME` in place of the name of a user.
create table organisations (
  id bigint generated always as identity primary key,
  name text not null unique,
  created_at timestamptz not null default clock_timestamp()
);
create table organisation_members (
  organisation_id bigint not null references organisations on delete cascade,
  user_id bigint not null references users,
  added_at timestamptz not null default clock_timestamp(),
  primary key (organisation_id, user_id)
);
create index organisation_members_user on organisation_members (user_id);
