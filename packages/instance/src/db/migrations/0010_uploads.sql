-- An index as it was uploaded for a commit and decoded. A later upload of the same place replaces it.
create table uploads (
  id bigint generated always as identity primary key,
  repository text not null,
  commit text not null,
  root text not null,
  indexer text not null,
  indexer_version text not null,
  job_id bigint not null references jobs (id),
  uploaded_at timestamptz not null default clock_timestamp(),
  documents integer not null default 0,
  occurrences bigint not null default 0,
  symbols bigint not null default 0,
  unique (repository, commit, root, indexer)
);

-- Occurrences of a document, sorted: [line, character, end line, end character, symbol, 1 where it is a definition].
create table upload_documents (
  upload_id bigint not null references uploads (id) on delete cascade,
  -- From the repository's root.
  path text not null,
  occurrences jsonb not null,
  primary key (upload_id, path)
);

-- Where symbols that mean something beyond their document are defined.
create table upload_definitions (
  upload_id bigint not null references uploads (id) on delete cascade,
  symbol text not null,
  path text not null,
  line integer not null,
  character integer not null
);
create index on upload_definitions (upload_id, md5(symbol));
