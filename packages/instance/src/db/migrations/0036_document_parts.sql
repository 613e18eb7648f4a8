-- The occurrences of a document, some hundreds to a row, so that a question about a place reads those around it. What an older build has stored, or
-- stores, has them in documents.occurrences.
create table document_parts (
  document_id bigint not null references documents on delete cascade,
  -- From 0, in the order of lines.
  part integer not null,
  first_line integer not null,
  -- The last line of any of its occurrences.
  last_line integer not null,
  -- CRC-32 of the symbols of its own that the part has.
  locals integer[] not null,
  -- The symbols of the part, its occurrences as in documents.occurrences, with the number of a symbol in its place, and what an indexer wrote of single
  -- occurrences, by their numbers.
  occurrences json not null,
  primary key (document_id, part)
);
-- Bytes of the document's parts, before compression.
alter table documents add part_bytes bigint not null default 0;

-- What a document says of a symbol beyond it: which other symbols' references are references of it too (0), or whose definitions are its (1).
create table symbol_relations (
  -- As in document_symbols.
  symbol bytea not null,
  kind smallint not null,
  document_id bigint not null references documents on delete cascade,
  targets text[] not null,
  primary key (symbol, kind, document_id)
);
create index on symbol_relations (document_id);
