-- Indexes that people upload have no job, or name one of theirs.
alter table uploads add column uploaded_by bigint references users on delete set null;

-- Uploads that arrive in parts. The number becomes that of the upload; the parts are blobs.
create table partial_uploads (
  id bigint primary key,
  -- Who may go on with it: an attempt of a job, or a person.
  job_id bigint references jobs on delete cascade,
  attempt integer,
  user_id bigint references users on delete cascade,
  -- What the index is about, as the client said when it began.
  place jsonb not null,
  -- How many parts there will be.
  parts integer not null,
  -- The size before gzip that the client announced, bytes.
  announced bigint,
  begun_at timestamptz not null default clock_timestamp(),
  finished_at timestamptz,
  check ((job_id is null) = (attempt is null) and (job_id is null) <> (user_id is null))
);
create index on partial_uploads (job_id);
create index on partial_uploads (user_id);
create index on partial_uploads (begun_at);

create table partial_upload_parts (
  upload_id bigint not null references partial_uploads on delete cascade,
  -- From 0.
  part integer not null,
  digest text not null,
  bytes bigint not null,
  primary key (upload_id, part)
);
