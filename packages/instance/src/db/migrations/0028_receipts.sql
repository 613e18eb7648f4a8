-- What attempts asked of the network. Every writer holds the job's row.
create table job_networks (
  job_id bigint not null references jobs on delete cascade,
  attempt integer not null,
  policy jsonb not null,
  -- How many receipts there were, also those that are not kept.
  total bigint not null,
  ended boolean not null,
  primary key (job_id, attempt)
);

-- The first and the last receipts of each attempt.
create table job_receipts (
  job_id bigint not null,
  attempt integer not null,
  seq bigint not null,
  receipt jsonb not null,
  primary key (job_id, attempt, seq),
  foreign key (job_id, attempt) references job_networks on delete cascade
);
