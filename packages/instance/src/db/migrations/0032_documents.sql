-- A document of an index, addressed by its content: indexes of other commits that have the same document share it.
create table documents (
  id bigint generated always as identity primary key,
  -- Of the document as it was uploaded.
  sha256 bytea not null unique,
  -- From the root of the index; null: it is none that is stored.
  path text,
  -- Sorted: [line, character, end line, end character, symbol, 1 where it is a definition, and then the range of the whole definition if it is known].
  occurrences jsonb not null,
  -- What the document describes: [symbol, Markdown].
  symbols jsonb not null default '[]',
  occurrence_count integer not null,
  symbol_count integer not null,
  -- An upload has been given it, or found it, about then.
  used_at timestamptz not null default clock_timestamp()
);
create index documents_used on documents (used_at);

-- Where a document defines (0), refers to (1) or implements (2) symbols that mean something beyond it.
create table document_symbols (
  -- The first 16 bytes of the SHA-256 of the symbol.
  symbol bytea not null,
  kind smallint not null,
  document_id bigint not null references documents on delete cascade,
  -- Four numbers for each range: line, character, end line, end character.
  ranges integer[] not null,
  primary key (symbol, kind, document_id)
);
create index on document_symbols (document_id);

-- The documents of an upload. An index may have a path more than once: they are parts of one document.
create table index_documents (
  upload_id bigint not null references uploads on delete cascade,
  -- From the root of the repository.
  path text not null,
  document_id bigint not null references documents,
  primary key (upload_id, path, document_id)
);
create index on index_documents (document_id, upload_id);

-- What an older build has stored has no ranges of definitions and no descriptions: the next index of the commit has them.
insert into documents (sha256, path, occurrences, occurrence_count, symbol_count)
select sha256(convert_to(upload_id || ' ' || path, 'UTF8')), path, occurrences, jsonb_array_length(occurrences), 0 from upload_documents;
insert into index_documents
select upload_id, old.path, documents.id
from upload_documents old join documents on sha256 = sha256(convert_to(upload_id || ' ' || old.path, 'UTF8'));
insert into document_symbols
select substr(sha256(convert_to(one ->> 4, 'UTF8')), 1, 16), 1 - (one ->> 5)::int, documents.id,
  array_agg((number #>> '{}')::int order by place, at)
from documents, jsonb_array_elements(occurrences) with ordinality as each (one, place),
  jsonb_array_elements(one) with ordinality as part (number, at)
where at <= 4 and not starts_with(one ->> 4, 'local ') and one ->> 4 <> ''
group by 1, 2, 3;
-- upload_documents and upload_definitions stay for replicas of an older build, until a later version.

-- The latest upload of a directory by an indexer answers for other repositories.
create index uploads_latest on uploads (repository, root, indexer, id);
