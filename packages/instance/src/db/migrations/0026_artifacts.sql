-- What jobs bring back from their workspaces. The archives are blobs; a job keeps its own as long as it is stored.
create table job_artifacts (
  job_id bigint not null references jobs on delete cascade,
  path text not null,
  attempt integer not null,
  digest text not null,
  bytes bigint not null,
  primary key (job_id, path)
);
create index job_artifacts_digest on job_artifacts (digest);
