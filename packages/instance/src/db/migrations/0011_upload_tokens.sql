-- What the upload step of an executor of upstream's kind shows: good for one upload, of one attempt, while its lease is good.
-- One a job: that of a later attempt takes its place.
create table upload_tokens (
  job_id bigint primary key references jobs on delete cascade,
  attempt integer not null,
  sha256 bytea not null unique,
  -- Of the index, from the repository's top.
  root text not null
);
